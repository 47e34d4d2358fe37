"""The little Markdown the sources are written in, as blocks that the page and document makers set.

It knows what our own texts use and no more: headings, paragraphs, lists, tables, bold, italics, code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "subheading", "paragraph", "bullets", "numbers", "table"]
Style = Literal["plain", "bold", "italic", "code"]

_INLINE = re.compile(r"\*\*(?P<bold>.+?)\*\*|\*(?P<italic>[^*]+?)\*|`(?P<code>[^`]+)`")
_NUMBERED = re.compile(r"^\d+\.\s+")


@dataclass(frozen=True, slots=True)
class Block:
    """One block: ``lines`` holds one text, one text per list item, or one row of cells joined by ``|``."""

    kind: BlockKind
    lines: tuple[str, ...]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, header first."""
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in self.lines]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style."""

    text: str
    style: Style


def parse_blocks(text: str) -> list[Block]:
    """Splits a source text at its empty lines into blocks."""
    return [_block(chunk.splitlines()) for chunk in re.split(r"\n\s*\n", text.strip())]


def _block(lines: list[str]) -> Block:
    first = lines[0]
    if first.startswith("### "):
        return Block("subheading", (first[4:],))
    if first.startswith("## "):
        return Block("heading", (first[3:],))
    if first.startswith("|"):
        return Block("table", tuple(line for line in lines if not re.fullmatch(r"[|\s:-]+", line)))
    if first.startswith("- "):
        return Block("bullets", tuple(line[2:] for line in lines))
    if _NUMBERED.match(first):
        return Block("numbers", tuple(_NUMBERED.sub("", line) for line in lines))
    return Block("paragraph", (" ".join(lines),))


def spans(text: str) -> Iterator[Span]:
    """Cuts a line at its inline marks."""
    position = 0
    for match in _INLINE.finditer(text):
        if match.start() > position:
            yield Span(text[position : match.start()], "plain")
        for style in ("bold", "italic", "code"):
            if match[style]:
                yield Span(match[style], style)
        position = match.end()
    if position < len(text):
        yield Span(text[position:], "plain")
