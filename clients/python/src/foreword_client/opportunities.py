"""`foreword import --opportunities`: a CSV of opportunities, sent in pieces that Foreword takes at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from foreword_client.client import Client
from foreword_client.importing import FileUnreadable, ImportReport, opened

_ROWS = 5_000
_BYTES = 3_000_000


def import_opportunities(client: Client, path: Path) -> ImportReport:
    """Send every row; one that was sent before is counted as a duplicate. Raises `FileUnreadable`."""
    report = ImportReport(path, "table")
    for first_line, piece in _pieces(path):
        answer = orjson.loads(client.send_table("/v1/opportunities:import", piece))
        report.results["stored"] += answer["accepted"]
        report.results["duplicates"] += answer["duplicates"]
        report.results["failed"] += answer["dead_letters"] + len(answer["problems"])
        for problem in answer["problems"]:
            # A piece begins with the heading, which is the file's first line.
            report.problem(f"line {first_line + problem['line'] - 2}: {problem['detail']}")
    report.results += type(report.results)()  # without the zeros
    return report


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """(the line of the file that the piece's first row stands on, heading and rows)."""
    with opened(path) as stream:
        heading = stream.readline()
        if not heading.strip():
            raise FileUnreadable(f"{path} is empty.")
        rows: list[bytes] = []
        size = first = 0
        for number, line in enumerate(stream, 2):
            first = first or number
            rows.append(line)
            size += len(line)
            # A field may hold line ends within quotes: a piece ends only where all quotes are closed.
            if (len(rows) >= _ROWS or size >= _BYTES) and sum(row.count(b'"') for row in rows) % 2 == 0:
                yield first, heading + b"".join(rows)
                rows, size, first = [], 0, 0
        if rows:
            yield first, heading + b"".join(rows)
