"""HTML in fields that people fill in: made safe (`clean_html`), or turned into plain text (`plain_text`)."""

from __future__ import annotations

import html
import re
from typing import Any

import lxml.html
import nh3
from lxml import etree

from recommender.extraction.prose import tidy


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAGS = _words(
    "a abbr b blockquote br code dd dl dt em h2 h3 h4 h5 h6 hr i li ol p pre q s small strong sub sup "
    "table tbody td th thead tr u ul"
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_BARE_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>|<(?:script|style|iframe|svg|math)\b", re.IGNORECASE)
_BLOCKS = _words(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form h1 h2 "
    "h3 h4 h5 h6 header hr li main nav ol p pre section summary table td th title tr ul"
)
_SILENT = _words("script style noscript template svg math iframe object embed head")


def clean_html(text: str) -> str:
    """HTML with formatting, lists, tables and http(s)/mailto links; everything that can act is removed."""
    return nh3.clean(
        text,
        tags=set(_TAGS),
        clean_content_tags={
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "svg",
            "math",
            "noscript",
            "template",
        },
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto"},
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
    )


def plain_text(text: str) -> str:
    """The words of an HTML fragment, blocks as paragraphs; without tags, only entities are resolved."""
    if not _BARE_TAG.search(text):
        return tidy(html.unescape(text))
    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    wrapped = f"<html><body>{text}</body></html>".replace("\x00", "").encode("utf-8", "ignore")
    try:
        tree = lxml.html.document_fromstring(wrapped, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError):
        return tidy(html.unescape(nh3.clean(text, tags=set())))
    return block_text(tree)


def block_text(element: Any) -> str:
    """The text of a parsed tree: a blank line between blocks, list items as `- item`, table rows in one line.

    Walks with a list and not by recursion, for the depth of a page is its author's choice.
    """
    parts: list[str] = []
    waiting: list[tuple[Any, bool]] = [(element, False)]
    while waiting:
        node, leaving = waiting.pop()
        tag = node.tag
        if leaving:
            parts.append(_after(tag))
            parts.append(_squeezed(node.tail))
            continue
        if not isinstance(tag, str) or tag in _SILENT:
            parts.append(_squeezed(node.tail))
            continue
        parts.append(_before(tag))
        parts.append((node.text or "") if tag == "pre" else _squeezed(node.text))
        waiting.append((node, True))
        waiting.extend((child, False) for child in reversed(node))
    text = re.sub(r" *\x01[ \x01]*(?=\n|$)", "", "".join(parts)).replace("\x01", " | ")
    text = re.sub(r"\n\s*\n- ", "\n- ", tidy(text))
    return re.sub(r"(?m)^((?!- ).+)\n- ", r"\1\n\n- ", text)


def _squeezed(text: str | None) -> str:
    return re.sub(r"\s+", " ", text) if text else ""


def _before(tag: str) -> str:
    if tag == "li":
        return "\n- "
    if tag in ("td", "th"):
        return ""
    if tag == "tr":
        return "\n"
    return "\n\n" if tag in _BLOCKS else "\n" if tag == "br" else ""


def _after(tag: str) -> str:
    if tag in ("td", "th"):
        return "\x01"  # becomes a bar between cells; control signs cannot come from parsed HTML
    return "\n\n" if tag in _BLOCKS and tag not in ("li", "tr") else ""
