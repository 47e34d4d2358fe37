"""CSV as people really write it: records out of lines, and which sign parts the cells.

The standard library's reader is not used: it swallows the rest of a file after a quote that never closes, and
its field limit belongs to the whole process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recommender.extraction.row_lines import Line

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_RECORDS = 50


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of one record and the number of its first line, or the code of what is wrong with it."""

    line: int
    cells: tuple[str, ...]
    problem: str | None = None


class _Parser:
    """One record at a time: `feed` lines until it says the record is complete."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self.cells: list[str] = []
        self._quoted: list[str] | None = None

    def feed(self, line: str) -> bool:
        """Take a line; False when a quoted cell goes on in the next one."""
        if self._quoted is None and '"' not in line:  # the usual case, and many times faster
            self.cells.extend(line.split(self._delimiter))
            return True
        at = 0
        while True:
            if self._quoted is None:
                opening = at
                while line[opening : opening + 1] == " ":
                    opening += 1
                if line[opening : opening + 1] != '"':
                    end = line.find(self._delimiter, at)
                    self.cells.append(line[at:] if end < 0 else line[at:end])
                    if end < 0:
                        return True
                    at = end + 1
                    continue
                self._quoted = []
                at = opening + 1
            close = line.find('"', at)
            if close < 0:
                self._quoted.append(line[at:] + "\n")
                return False
            self._quoted.append(line[at:close])
            if line[close + 1 : close + 2] == '"':
                self._quoted.append('"')
                at = close + 2
                continue
            # What stands between the closing quote and the delimiter belongs to the cell: `"Zero" trust;`.
            end = line.find(self._delimiter, close + 1)
            self._quoted.append((line[close + 1 :] if end < 0 else line[close + 1 : end]).rstrip())
            self.cells.append("".join(self._quoted))
            self._quoted = None
            if end < 0:
                return True
            at = end + 1


def csv_records(lines: Iterable[Line], delimiter: str, max_characters: int) -> Iterator[CsvRecord]:
    """The records in `lines`; blank lines are passed over.

    A quote that never closes costs only the line it stands in: what was gathered after it, at most
    `max_characters`, is read again as lines of their own.
    """
    source = iter(lines)
    again: deque[Line] = deque()
    while True:
        first = again.popleft() if again else next(source, None)
        if first is None:
            return
        if first.text is None:
            yield CsvRecord(first.number, (), "line_too_long")
            continue
        if not first.text.strip():
            continue
        parser = _Parser(delimiter)
        gathered: list[Line] = []
        size = len(first.text)
        complete = parser.feed(first.text)
        while not complete:
            line = again.popleft() if again else next(source, None)
            if line is None:
                break
            gathered.append(line)
            size += len(line.text or "") + 1
            if line.text is None or size > max_characters:
                break
            complete = parser.feed(line.text)
        if complete:
            yield CsvRecord(first.number, tuple(parser.cells))
        else:
            yield CsvRecord(first.number, (), "quote_not_closed")
            again.extendleft(reversed(gathered))


def sniff_delimiter(sample: str, known: Iterable[str]) -> str:
    """The delimiter that cuts the sample's records into the same number of cells most often.

    Header names in `known` (lower case) speak for a delimiter more than any count; a single column gives ",".
    """
    names = frozenset(known)
    lines = sample.split("\n")[: 4 * _SAMPLE_RECORDS]
    best, best_score = DELIMITERS[0], 0.0
    for delimiter in DELIMITERS:
        numbered = (Line(number, text) for number, text in enumerate(lines, 1))
        records = csv_records(numbered, delimiter, len(sample) + 1)
        counts = [
            record for _, record in zip(range(_SAMPLE_RECORDS), records, strict=False) if not record.problem
        ]
        if not counts or len(counts[0].cells) < 2:
            continue
        widths = Counter(len(record.cells) for record in counts)
        agreeing = widths[len(counts[0].cells)] / len(counts)
        found = sum(cell.strip().lower() in names for cell in counts[0].cells)
        score = agreeing + found + 0.001 * min(len(counts[0].cells), 50)
        if score > best_score:
            best, best_score = delimiter, score
    return best
