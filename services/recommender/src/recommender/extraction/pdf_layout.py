"""Turning the lines of printed pages back into paragraphs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

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

_GAP = 1.35  # times the usual step from line to line: more is space that somebody put there


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of text as the page draws it: letter size and height above the page's foot, in points."""

    text: str
    size: float
    height: float


def with_gaps(runs: list[Run]) -> str:
    """The runs one after the other, with a blank line where the step down is clearly larger than usual."""
    steps: list[float] = []
    worded = [run for run in runs if run.text.strip()]
    for before, after in pairwise(worded):
        if before.height - after.height > 1.0:
            steps.append(before.height - after.height)
    # Below the median: in short paragraphs nearly every second step is a gap.
    usual = sorted(steps)[int(0.35 * len(steps))] if steps else 0.0
    parts: list[str] = []
    above: float | None = None
    for run in runs:
        if run.text.strip():
            if above is not None and above - run.height > _GAP * usual:
                parts.append("\n\n")
            # A run of several lines is reported where it begins; it ends as many steps lower.
            above = run.height - usual * run.text.strip("\n").count("\n")
        parts.append(run.text)
    return "".join(parts)


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
    if previous.endswith(_ENDS):
        # The next word would have found room, so the writer and not the paper ended the line.
        return len(previous) + 1 + len(line.split(" ", 1)[0]) < 0.95 * full
    # A heading: clearly short, no full stop, and the next line starts afresh.
    return len(previous) < 0.6 * full and not previous.endswith((",", "-")) and not line[:1].islower()


def _runs_on(before: str, after: str) -> bool:
    return not before.endswith(_ENDS) and after[:1].islower()


def _glue(before: str, after: str) -> str:
    if _HYPHEN.search(before) and after[:1].islower():
        return before[:-1] + after
    return f"{before} {after}"
