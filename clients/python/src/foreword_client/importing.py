"""`foreword import`: files of assets and signals, in order, with progress, resumable and repeatable."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

import orjson

from foreword_client.client import Client
from foreword_client.kept_object import read_object, write_object

Kind = Literal["assets", "signals", "table"]
_Result = dict[str, Any]
_CALLS = frozenset({"track", "page", "screen", "identify", "group", "alias"})
_ASSET_LINES = 256
_EVENTS = 4_000
_BATCH_BYTES = 3_500_000
# With a full batch it stays below the 4 MB that a request may have; Foreword itself keeps events up to 32 KB.
_LONGEST_EVENT = 400_000
_SHOWN_PROBLEMS = 20
# Two requests under way keep Foreword busy while the next is read here.
_PARALLEL = 2


@dataclass(slots=True)
class ImportReport:
    """What became of one file."""

    path: Path
    kind: Kind
    results: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    resumed_at_line: int = 0

    def problem(self, text: str) -> None:
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(text)


class FileUnreadable(Exception):
    """The file is not what it says, in words for whoever started the import."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, inflated if it is gzip. Raises FileUnreadable, also while they are read."""
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb") as stream:
            yield stream
    except EOFError as error:
        raise FileUnreadable(f"{path} ends in the middle: the gzip is cut off.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileUnreadable(f"{path} is damaged: {error}.") from error


def kind_of(path: Path) -> Kind:
    """Whether a file holds assets or signals as NDJSON, or is a table that Foreword reads itself."""
    try:
        with opened(path) as stream:
            first = stream.readline(1_048_576).strip().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error}") from error
    if not first.startswith(b"{"):
        return "table"
    try:
        record = orjson.loads(first)
    except orjson.JSONDecodeError as error:
        raise FileUnreadable(f"{path}: the first line is not JSON ({error.msg}).") from error
    return "signals" if record.get("type") in _CALLS or "event" in record else "assets"


class Progress:
    """Where imports have got to, kept on disk so that one that was stopped goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = read_object(path)

    @staticmethod
    def key_of(path: Path, address: str) -> str:
        """Another content, or another Foreword, is another import."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(address.encode())
        digest.update(str(path.stat().st_size).encode())
        with path.open("rb") as stream:
            digest.update(stream.read(1_048_576))
        return digest.hexdigest()

    def lines(self, key: str) -> int:
        return self._lines.get(key, 0)

    def save(self, key: str, lines: int | None) -> None:
        if lines is None:
            self._lines.pop(key, None)
        else:
            self._lines[key] = lines
        write_object(self._path, self._lines)


def import_file(
    client: Client, path: Path, kind: Kind, progress: Progress, key: str, on_bytes: Callable[[int], None]
) -> ImportReport:
    """Import one file; `on_bytes` hears how many (inflated) bytes are done. Stopping it loses nothing."""
    report = ImportReport(path, kind)
    if kind == "table":
        _import_table(client, path, report, on_bytes)
        return report
    report.resumed_at_line = done = progress.lines(key)
    send = _send_assets if kind == "assets" else _send_signals
    under_way: deque[tuple[_Chunk, Future[list[_Result]]]] = deque()

    def finish() -> None:
        chunk, future = under_way.popleft()
        results = future.result()
        if kind == "signals" and chunk.lines:
            report.results["sent"] += len(chunk.lines)
        for result in results:
            _count(report, result, chunk.numbers)
        progress.save(key, chunk.end)
        on_bytes(chunk.size)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        for chunk in _chunks(path, kind, done, report):
            under_way.append((chunk, pool.submit(send, client, chunk)))
            if len(under_way) > _PARALLEL:
                finish()
        while under_way:
            finish()
    progress.save(key, None)
    return report


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Lines with their numbers; `end` is the last line of the file that it covers."""

    lines: list[bytes]
    numbers: list[int]
    end: int
    size: int


def _chunks(path: Path, kind: Kind, skip: int, report: ImportReport) -> Iterator[_Chunk]:
    most = _ASSET_LINES if kind == "assets" else _EVENTS
    lines: list[bytes] = []
    numbers: list[int] = []
    size = weight = number = 0
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            size += len(line)
            if number <= skip or not (stripped := line.strip()):
                continue
            if kind == "signals" and (fault := _fault(stripped)) is not None:
                report.results["failed"] += 1
                report.problem(f"line {number}: {fault}")
                continue
            lines.append(stripped)
            numbers.append(number)
            weight += len(stripped) + 1
            if len(lines) >= most or weight >= _BATCH_BYTES:
                yield _Chunk(lines, numbers, number, size)
                lines, numbers, size, weight = [], [], 0, 0
    yield _Chunk(lines, numbers, number, size)


def _fault(line: bytes) -> str | None:
    """Why a line would spoil the request it goes with; None if it would not."""
    if len(line) > _LONGEST_EVENT:
        return "too large for an event"
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return "not JSON"
    return None


def _send_assets(client: Client, chunk: _Chunk) -> list[_Result]:
    return client.import_lines(chunk.lines) if chunk.lines else []


def _send_signals(client: Client, chunk: _Chunk) -> list[_Result]:
    """A request is stored whole or not at all, so that there is nothing to say of single lines."""
    if chunk.lines:
        client.send_events(chunk.lines)
    return []


def _import_table(client: Client, path: Path, report: ImportReport, on_bytes: Callable[[int], None]) -> None:
    with path.open("rb") as stream:
        for result in client.import_stream(stream, "text/csv"):
            _count(report, result, None)
    on_bytes(path.stat().st_size)


def _count(report: ImportReport, result: _Result, numbers: list[int] | None) -> None:
    outcome = str(result.get("result"))
    report.results[outcome] += 1
    if outcome == "failed":
        line = result.get("line")
        if numbers is not None and isinstance(line, int) and 0 < line <= len(numbers):
            line = numbers[line - 1]
        report.problem(f"line {line}: {result.get('detail')}")
