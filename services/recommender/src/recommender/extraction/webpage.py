"""Reading web pages (lxml parses, trafilatura finds the article)."""

from __future__ import annotations

import copy
import re
from typing import Any

import lxml.html
import trafilatura
from lxml import etree

from recommender.extraction.cleaning import block_text
from recommender.extraction.content import Content
from recommender.extraction.encoding import decode
from recommender.extraction.errors import Malformed, NoText
from recommender.extraction.limits import Limits
from recommender.extraction.prose import has_words, tidy
from recommender.extraction.webpage_metadata import page_facts

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{2,40})|<\?xml[^>]{0,200}encoding=[\"']([\w.:-]{2,40})",
    re.I,
)
_PROLOG = re.compile(r"\A\s*<\?xml[^>]*\?>")
_FURNITURE = (
    "//script|//style|//noscript|//template|//nav|//footer|//aside|//form|//iframe|//object|//embed|//svg"
    "|//button|//select|//dialog|//header[not(.//h1)]|//*[@hidden]|//*[@aria-hidden='true']"
    "|//*[@role='navigation' or @role='contentinfo' or @role='dialog' or @role='alertdialog' or "
    "@role='search' or (@role='banner' and not(.//h1))]|"
    "//*[contains(translate(@style, ' ', ''), 'display:none')]"
)
_BANNER = re.compile(r"cookie|consent|gdpr|ccpa|onetrust|usercentrics|truste", re.IGNORECASE)
_MAX_NODES = 200_000
_RULE = re.compile(r"[-|: ]+")


def read_html(data: bytes, limits: Limits) -> Content:  # noqa: ARG001 - every reader takes the limits
    """The article on a page, its facts from meta tags and JSON-LD; raises the tree of `errors`."""
    tree = parse_page(data)
    facts = page_facts(tree)
    _drop_furniture(tree)
    whole = block_text(copy.deepcopy(tree.find("body") if tree.find("body") is not None else tree))
    found = trafilatura.extract(
        tree, output_format="txt", include_comments=False, include_tables=True, favor_recall=True, fast=True
    )
    article = _paragraphs(found) if found else ""
    # On short pages the article finder may give up or keep a part only; then all that pruning left is right.
    if len(article) < 0.5 * len(whole) and len(whole) < 5_000:
        article = whole
    if not has_words(article):
        raise NoText(
            "The page holds no text of its own; it may be filled in by scripts. Save the article as text."
        )
    return Content(
        body=article,
        title=facts.title,
        summary=facts.description,
        language=facts.language,
        metadata=facts.metadata,
    )


def parse_page(data: bytes) -> Any:
    """The page as a tree; scripts never run, nothing is fetched, nesting beyond 256 levels is dropped."""
    declared = _META_CHARSET.search(data[:4_096])
    name = (declared.group(1) or declared.group(2)).decode("ascii", "ignore") if declared else None
    text, _ = decode(data, name)
    text = _PROLOG.sub("", tidy_for_parser(text))
    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        tree = lxml.html.document_fromstring(text.encode("utf-8", "ignore"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError) as error:
        raise NoText("The page holds no text.") from error
    if sum(1 for _ in tree.iter()) > _MAX_NODES:
        raise Malformed("The page has far too many elements to be an article; save its text and upload that.")
    return tree


def tidy_for_parser(text: str) -> str:
    """libxml2 ends a text at its first zero byte."""
    return text.replace("\x00", "")


def _drop_furniture(tree: Any) -> None:
    total = len(tree.text_content())
    for element in tree.xpath(_FURNITURE):
        _drop(element)
    for element in tree.xpath("//body//*[@id or @class]"):
        words = f"{element.get('id', '')} {element.get('class', '')}"
        # An article about cookies may say so in its class; a banner is never most of the page.
        if _BANNER.search(words) and len(element.text_content()) < 0.5 * total:
            _drop(element)


def _drop(element: Any) -> None:
    if element.getparent() is not None and element.tag not in ("html", "body", "main", "article"):
        element.drop_tree()


def _paragraphs(text: str) -> str:
    """trafilatura writes one line a paragraph; list items and table rows stay together."""
    out: list[str] = []
    before = ""
    for line in tidy(text).split("\n"):
        if not line or _RULE.fullmatch(line):
            continue
        kind = "item" if line.startswith("- ") else "row" if " | " in line or line.startswith("|") else ""
        if kind == "row":
            line = line.strip("| ")
        out.append(line if not out else ("\n" if kind and kind == before else "\n\n") + line)
        before = kind
    return "".join(out)
