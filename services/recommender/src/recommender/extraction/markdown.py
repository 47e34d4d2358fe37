"""Reading Markdown (markdown-it-py), with YAML front matter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from recommender.extraction.cleaning import plain_text
from recommender.extraction.content import Content, Metadata, moment, web_address
from recommender.extraction.encoding import decode
from recommender.extraction.limits import Limits
from recommender.extraction.prose import has_words, one_line

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MAX_FRONT_MATTER = 16_384
_MAX_DEPTH = 6
_UNREADABLE = "The head of the Markdown file (between the --- lines) could not be read and was left out."


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them unfold into gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def read_markdown(data: bytes, limits: Limits) -> Content:  # noqa: ARG001 - every reader takes the limits
    """The text of a Markdown file without its marks, and the fields of its front matter."""
    text = re.sub(r"\r\n?", "\n", decode(data)[0])
    front, text, warnings = _front_matter(text)
    body, heading = markdown_text(text)
    lower = {str(name).lower(): value for name, value in front.items()}

    def line(*names: str) -> str | None:
        value = next((lower[name] for name in names if isinstance(lower.get(name), str)), None)
        return (one_line(value) or None) if isinstance(value, str) else None

    url = web_address(line("url", "canonical", "canonical_url", "link"))
    published = next(
        (lower[name] for name in ("published_at", "publish_at", "date", "published") if name in lower), None
    )
    return Content(
        body=body,
        title=line("title", "titel", "headline") or heading,
        summary=line("summary", "description", "excerpt", "zusammenfassung", "beschreibung"),
        language=line("language", "lang", "locale", "sprache"),
        language_is_certain=True,
        warnings=warnings,
        metadata=Metadata(
            published_at=moment(published),
            image_url=web_address(line("image_url", "image", "cover", "og_image"), url),
            url=url,
            front_matter=front,
        ),
    )


def _front_matter(text: str) -> tuple[Mapping[str, object], str, tuple[str, ...]]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text, ()
    rest = text[match.end() :]
    if len(match.group(1)) > _MAX_FRONT_MATTER:
        return {}, rest, (_UNREADABLE,)
    try:
        loaded = yaml.load(match.group(1), Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}, rest, (_UNREADABLE,)
    if not isinstance(loaded, dict):
        return {}, rest, () if loaded is None else (_UNREADABLE,)
    return {str(name): _as_json(value, _MAX_DEPTH) for name, value in loaded.items()}, rest, ()


def _as_json(value: object, depth: int) -> object:
    """YAML values as JSON ones: times as text, keys as text, nothing nested beyond `depth`."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if depth == 0:
        return None
    if isinstance(value, dict):
        return {str(name): _as_json(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_json(inner, depth - 1) for inner in value]
    return str(value)


def markdown_text(text: str) -> tuple[str, str | None]:
    """(text, first top heading): blank lines between blocks, items as `- item`, table rows in one line."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    blocks: list[str] = []
    row: list[str] | None = None
    heading: str | None = None
    joins = False  # whether the next text continues the list or table before it
    items = 0
    fresh_item = False
    for at, token in enumerate(tokens):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            items += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            items -= 1
            joins = items > 0
        elif token.type == "list_item_open":
            fresh_item = True
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            _append(blocks, " | ".join(cell for cell in row if cell), joins)
            row, joins = None, True
        elif token.type == "table_close":
            joins = False
        elif token.type == "inline":
            found = _inline(token.children or [])
            if row is not None:
                row.append(one_line(found))
                continue
            if items and fresh_item:
                _append(blocks, f"- {one_line(found)}", joins)
                fresh_item, joins = False, True
            else:
                _append(blocks, found, False)
            if (
                heading is None
                and at
                and tokens[at - 1].type == "heading_open"
                and tokens[at - 1].tag == "h1"
            ):
                heading = one_line(found) or None
        elif token.type in ("fence", "code_block"):
            _append(blocks, token.content.rstrip(), False)
        elif token.type == "html_block":
            _append(blocks, plain_text(token.content), False)
    return "\n\n".join(blocks), heading


def _append(blocks: list[str], text: str, joins: bool) -> None:
    if not has_words(text):
        return
    if joins and blocks:
        blocks[-1] += f"\n{text}"
    else:
        blocks.append(text)


def _inline(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            parts.append(token.content)
        elif token.type == "softbreak":
            parts.append(" ")
        elif token.type == "hardbreak":
            parts.append("\n")
        elif token.type == "image":
            parts.append(_inline(token.children or []))
        elif token.type == "html_inline" and token.content.lower().startswith("<br"):
            parts.append("\n")
    return "".join(parts)
