"""`foreword import`: files of assets and signals, in order, with progress, resumable and repeatable."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, cast

import orjson

from foreword_client.client import Client

Kind = Literal["assets", "signals", "table"]
_CALLS = frozenset({"track", "page", "screen", "identify", "group", "alias"})
_ASSET_LINES = 256
_EVENTS = 4_000
_BATCH_BYTES = 3_500_000
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


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, inflated if it is gzip."""
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def kind_of(path: Path) -> Kind:
    """Whether a file holds assets or signals as NDJSON, or is a table that Foreword reads itself."""
    try:
        with opened(path) as stream:
            first = stream.readline(1_048_576).strip().removeprefix(b"\xef\xbb\xbf")
    except (OSError, EOFError) as error:
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
        try:
            self._lines: dict[str, int] = orjson.loads(path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            self._lines = {}

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
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_bytes(orjson.dumps(self._lines))
        draft.replace(self._path)


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
    under_way: deque[tuple[int, int, Future[None]]] = deque()
    try:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for chunk in _chunks(path, kind, done, report):
                under_way.append((chunk.end, chunk.size, pool.submit(send, client, chunk, report)))
                if len(under_way) > _PARALLEL:
                    done = _finish(under_way, progress, key, on_bytes)
            while under_way:
                done = _finish(under_way, progress, key, on_bytes)
    except EOFError as error:
        raise FileUnreadable(f"{path} ends in the middle: the gzip is cut off.") from error
    progress.save(key, None)
    return report


def _finish(
    under_way: deque[tuple[int, int, Future[None]]],
    progress: Progress,
    key: str,
    on_bytes: Callable[[int], None],
) -> int:
    end, size, future = under_way.popleft()
    future.result()
    progress.save(key, end)
    on_bytes(size)
    return end


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
            if kind == "signals" and not _is_json(stripped):
                report.results["failed"] += 1
                report.problem(f"line {number}: not JSON")
                continue
            lines.append(stripped)
            numbers.append(number)
            weight += len(stripped) + 1
            if len(lines) >= most or weight >= _BATCH_BYTES:
                yield _Chunk(lines, numbers, number, size)
                lines, numbers, size, weight = [], [], 0, 0
    yield _Chunk(lines, numbers, number, size)


def _is_json(line: bytes) -> bool:
    """A line that is not JSON would spoil the request it goes with."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _send_assets(client: Client, chunk: _Chunk, report: ImportReport) -> None:
    if not chunk.lines:
        return
    for result in client.import_lines(chunk.lines):
        _count(report, result, chunk.numbers)


def _send_signals(client: Client, chunk: _Chunk, report: ImportReport) -> None:
    if chunk.lines:
        client.send_events(chunk.lines)
        report.results["sent"] += len(chunk.lines)


def _import_table(client: Client, path: Path, report: ImportReport, on_bytes: Callable[[int], None]) -> None:
    with path.open("rb") as stream:
        for result in client.import_stream(stream, "text/csv"):
            _count(report, result, None)
    on_bytes(path.stat().st_size)


def _count(report: ImportReport, result: dict[str, object], numbers: list[int] | None) -> None:
    outcome = str(result.get("result"))
    report.results[outcome] += 1
    if outcome == "failed":
        line = result.get("line")
        if numbers is not None and isinstance(line, int) and 0 < line <= len(numbers):
            line = numbers[line - 1]
        report.problem(f"line {line}: {result.get('detail')}")
