"""Turning the lines of printed pages back into paragraphs."""

from __future__ import annotations

import re
from collections import Counter

from recommender.extraction.prose import tidy

_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"(?:page|seite|p\.|s\.)?\s*[-–]?\s*\d{1,4}\s*[-–]?(?:\s*(?:/|of|von)\s*\d{1,4})?", re.I
)
_BULLET = re.compile(r"[•●▪◦‣∙·–-]\s+\S|\(?\d{1,2}[.)]\s+\S|[a-z]\)\s+\S")
_ENDS = (".", "!", "?", ":", "…", ".”", '."', ".“", "?”", "!”", "。")
_HYPHEN = re.compile(r"[a-zà-öø-ÿß]-$")
_EDGE_LINES = 2
_REPEATED_SHARE = 0.6


def join_pages(pages: list[str]) -> str:
    """One text from the text of each page: running heads, feet and page numbers dropped, lines joined."""
    split = _without_running_heads([tidy(page).split("\n") for page in pages])
    paragraphs: list[str] = []
    for lines in split:
        found = _paragraphs(lines)
        if paragraphs and found and _runs_on(paragraphs[-1], found[0]):
            paragraphs[-1] = _glue(paragraphs[-1], found.pop(0))
        paragraphs.extend(found)
    return "\n\n".join(paragraphs)


def _without_running_heads(pages: list[list[str]]) -> list[list[str]]:
    def key(line: str) -> str:
        return _DIGITS.sub("#", line.lower())

    counts: Counter[str] = Counter()
    for lines in pages:
        counts.update({key(line) for line in (*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]) if line})
    written = sum(any(lines) for lines in pages)
    repeated = {line for line, count in counts.items() if written >= 3 and count >= _REPEATED_SHARE * written}

    def keep(at: int, line: str, total: int) -> bool:
        if _EDGE_LINES <= at < total - _EDGE_LINES:
            return True
        return not (_PAGE_NUMBER.fullmatch(line) or (key(line) in repeated and len(line) < 120))

    return [[line for at, line in enumerate(lines) if keep(at, line, len(lines))] for lines in pages]


def _paragraphs(lines: list[str]) -> list[str]:
    """A line that ends early, or a bullet, ends the paragraph; other line ends are the paper's edge."""
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return []
    full = lengths[int(0.8 * (len(lengths) - 1))]
    found: list[str] = []
    current = ""
    previous = ""
    for line in lines:
        if not line:
            if current:
                found.append(current)
            current = previous = ""
            continue
        if current and _breaks(previous, line, full):
            found.append(current)
            current = line
        else:
            current = _glue(current, line) if current else line
        previous = line
    if current:
        found.append(current)
    return found


def _breaks(previous: str, line: str, full: int) -> bool:
    if _BULLET.match(line):
        return True
    short = len(previous) < 0.75 * full
    if previous.endswith(_ENDS):
        return short
    # A heading: clearly short, no full stop, and the next line starts afresh.
    return len(previous) < 0.6 * full and not previous.endswith((",", "-")) and not line[:1].islower()


def _runs_on(before: str, after: str) -> bool:
    return not before.endswith(_ENDS) and after[:1].islower()


def _glue(before: str, after: str) -> str:
    if _HYPHEN.search(before) and after[:1].islower():
        return before[:-1] + after
    return f"{before} {after}"
