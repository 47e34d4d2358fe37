"""Rows out of an imported file: NDJSON, one JSON array or CSV, streamed; a bad row never spoils the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from recommender.extraction.csv_columns import (
    FIELDS,
    SYNONYMS,
    CellUnreadable,
    Header,
    read_cells,
    read_header,
)
from recommender.extraction.csv_records import CsvRecord, csv_records, sniff_delimiter
from recommender.extraction.limits import MEBIBYTE, RowLimits
from recommender.extraction.row_lines import Line, StreamBroken, TextSource

# Whoever stores a record walks it again, some by recursion.
_MAX_DEPTH = 64
_ZERO_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was not read: `code` is stable, `detail` a sentence for the person who uploaded the file."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    """Either a record or a problem; `line` is where it begins (in a JSON array: which element), from 1."""

    line: int
    record: dict[str, object] | None = None
    problem: RowProblem | None = None


def read_rows(
    stream: BinaryIO, content_type: str | None = None, limits: RowLimits | None = None
) -> Iterator[Row]:
    """Every row of an import in order. Raises nothing of its own; what `stream.read` raises passes through.

    gzip, encoding, form and delimiter are told from the content; `content_type` decides only where that
    leaves it open. Fields are not judged here: a record without an id is a record. Holds at most a record, a
    sample and a chunk in memory, a JSON array (up to `limits.max_array_bytes`) excepted.
    """
    limits = limits or RowLimits()
    last = 0
    try:
        source = TextSource(stream, limits)
        for row in _rows(source, content_type, limits):
            last = row.line
            yield row
    except StreamBroken as broken:
        yield _problem(last + 1, broken.code, broken.detail)


def _rows(source: TextSource, content_type: str | None, limits: RowLimits) -> Iterator[Row]:
    start = source.sample.lstrip("\ufeff \t\n")
    if not start and source.sample_is_all:
        return iter(())
    declared = (content_type or "").split(";")[0].strip().lower()
    if start.startswith("["):
        return _array_rows(source, limits)
    if start.startswith("{") or (declared.endswith("json") and "csv" not in declared):
        return _json_rows(source.lines(), limits)
    return _csv_rows(source, limits)


def _problem(line: int, code: str, detail: str) -> Row:
    return Row(line, problem=RowProblem(code, detail))


def _json_rows(lines: Iterator[Line], limits: RowLimits) -> Iterator[Row]:
    for line in lines:
        if line.text is None:
            yield _too_long(line.number, limits)
        elif text := line.text.strip("\ufeff \t\r\n"):
            try:
                loaded = orjson.loads(text.encode("utf-8", "surrogateescape"))
            except orjson.JSONDecodeError as error:
                yield _problem(line.number, *_json_fault(text, error))
                continue
            yield _record(line.number, loaded, _suspect(text))


def _array_rows(source: TextSource, limits: RowLimits) -> Iterator[Row]:
    text = source.whole(limits.max_array_bytes)
    if text is None:
        allowed = limits.max_array_bytes // MEBIBYTE
        yield _problem(
            1,
            "array_too_large",
            f"A JSON array is read up to {allowed} MB; write one object a line (NDJSON).",
        )
        return
    try:
        loaded = orjson.loads(text.strip("\ufeff \t\r\n").encode("utf-8", "surrogateescape"))
    except orjson.JSONDecodeError as error:
        yield _problem(1, *_json_fault(text, error))
        return
    suspect = _suspect(text)
    for number, element in enumerate(loaded, 1):
        yield _record(number, element, suspect)


def _suspect(text: str) -> bool:
    """Whether the text may hold a zero byte or great depth, so that its records are worth a second look."""
    return "\\u0000" in text or text.count("{") + text.count("[") > _MAX_DEPTH


def _record(number: int, loaded: object, suspect: bool) -> Row:
    if not isinstance(loaded, dict):
        return _problem(number, "not_an_object", "The row is not a JSON object ({…}).")
    if suspect:
        if _depth_exceeds(loaded, _MAX_DEPTH):
            return _problem(
                number, "nested_too_deeply", f"The row is nested more than {_MAX_DEPTH} levels deep."
            )
        if _ZERO_BYTE.search(orjson.dumps(loaded).decode()):
            return _problem(
                number, "zero_byte", "The row holds a zero byte (\\u0000), which cannot be stored."
            )
    return Row(number, loaded)


def _depth_exceeds(loaded: object, most: int) -> bool:
    waiting = [(loaded, 1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, dict | list):
            if depth > most:
                return True
            waiting.extend(
                (inner, depth + 1) for inner in (node.values() if isinstance(node, dict) else node)
            )
    return False


def _json_fault(text: str, error: orjson.JSONDecodeError) -> tuple[str, str]:
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        return "broken_encoding", "The row is not valid UTF-8."
    return "malformed_json", f"The row is not valid JSON: {error.msg}."


def _too_long(number: int, limits: RowLimits) -> Row:
    most = limits.max_record_characters
    return _problem(number, "line_too_long", f"The row is longer than {most:,} characters.")


def _csv_rows(source: TextSource, limits: RowLimits) -> Iterator[Row]:
    lines = (_repaired(line) for line in source.lines())
    sample = source.sample.lstrip("\ufeff")
    delimiter = None
    if sample[:4].lower() == "sep=" and len(sample) > 4:  # a first line that Excel writes for itself
        delimiter = sample[4]
        next(lines, None)
        sample = sample.partition("\n")[2]
    if not source.sample_is_all:
        sample = sample.rpartition("\n")[0] or sample
    delimiter = delimiter or sniff_delimiter(_as_western(sample), FIELDS | SYNONYMS.keys())
    header: Header | None = None
    for record in csv_records(lines, delimiter, limits.max_record_characters):
        if header is not None:
            row = _csv_row(header, record, limits)
            if row is not None:
                yield row
            continue
        if record.problem or len(record.cells) > limits.max_columns:
            yield _problem(
                record.line, "header_unreadable", "The first line must hold the names of the columns."
            )
            return
        header = read_header(record.cells)
        for duplicate in header.duplicates:
            yield _problem(record.line, "duplicate_column", duplicate)


def _csv_row(header: Header, record: CsvRecord, limits: RowLimits) -> Row | None:
    if record.problem == "line_too_long":
        return _too_long(record.line, limits)
    if record.problem is not None:
        return _problem(record.line, record.problem, "A quotation mark opens a cell and is never closed.")
    cells = record.cells
    width = len(header.fields)
    if not any(cell.strip() for cell in cells):
        return None
    surplus = [cell for cell in cells[width:] if cell.strip()]
    if surplus:
        return _problem(record.line, "cells_too_many", f"The row has {len(cells)} cells, the header {width}.")
    if len(cells) < width:
        return _problem(record.line, "cells_missing", f"The row has {len(cells)} cells, the header {width}.")
    try:
        return Row(record.line, read_cells(header, cells))
    except CellUnreadable as error:
        return _problem(record.line, "cell_unreadable", str(error))


def _repaired(line: Line) -> Line:
    """A line that is no UTF-8 read as Windows-1252, and without zero bytes, which no database takes.

    Line by line, so that a file whose first umlaut comes after a megabyte of English is read right too.
    """
    if line.text is None:
        return line
    return Line(line.number, _as_western(line.text).replace("\x00", ""))


def _as_western(text: str) -> str:
    if text.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in text):
        return text
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
