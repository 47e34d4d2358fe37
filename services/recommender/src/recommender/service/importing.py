"""Many assets at once: rows are validated, embedded and stored in chunks, and answered line by line."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import ValidationError

from contract.assets import AssetInput, ImportResult
from recommender.domain.assets import AssetRecord
from recommender.domain.errors import EquivalenceInvalid
from recommender.extraction.rows import Row
from recommender.service.asset_records import record_of
from recommender.service.assets import AssetService
from recommender.service.encoding import Encoded
from servicekit.errors import Unprocessable
from servicekit.wire import field_problems

_CHUNK = 64
# While one chunk is stored, the next is at the embedder and one more waits there, so that it never idles.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows in their order: either a finished result or the place of a record that is stored together."""

    results: tuple[ImportResult | int, ...]
    records: tuple[AssetRecord, ...]
    lines: tuple[int, ...]


Judge = Callable[[AssetRecord | ImportResult], AssetRecord | ImportResult]
Encoding = tuple[list[AssetRecord], Encoded | None]


class AssetImport:
    """Reads rows as they come; memory is bounded by a few chunks, whatever the length of the input."""

    def __init__(self, assets: AssetService) -> None:
        self._assets = assets

    def run(self, rows: Iterable[Row]) -> Iterator[ImportResult]:
        """One result a row, in order. What was answered is committed: go on from there if it breaks off."""
        return self._run(rows, lambda read: read)

    def run_as_drafts(self, rows: Iterable[Row], *, replace: bool) -> Iterator[ImportResult]:
        """The same, with every asset a draft, whatever its row says, and none overwritten unless asked to."""

        def judge(read: AssetRecord | ImportResult) -> AssetRecord | ImportResult:
            if isinstance(read, ImportResult):
                return read
            if not replace and self._assets.exists(read.asset_id):
                told = f"There is an asset {read.asset_id} already."
                return ImportResult(id=read.asset_id, result="failed", code="asset_exists", detail=told)
            return dataclasses.replace(read, status="draft")

        return self._run(rows, judge)

    def _run(self, rows: Iterable[Row], judge: Judge) -> Iterator[ImportResult]:
        waiting: deque[tuple[_Chunk, Future[Encoding]]] = deque()
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="import-encode") as pool:
            for chunk in _chunks(rows, judge):
                waiting.append((chunk, pool.submit(self._assets.encode, chunk.records)))
                if len(waiting) > _AHEAD:
                    yield from self._store(*waiting.popleft())
            while waiting:
                yield from self._store(*waiting.popleft())

    def _store(self, chunk: _Chunk, encoding: Future[Encoding]) -> Iterator[ImportResult]:
        outcomes = self._assets.store_encoded(chunk.records, encoding.result()) if chunk.records else []
        for result in chunk.results:
            if isinstance(result, ImportResult):
                yield result
            else:
                record, outcome = chunk.records[result], outcomes[result]
                yield ImportResult(line=chunk.lines[result], id=record.asset_id, result=outcome.result)


def _chunks(rows: Iterable[Row], judge: Judge) -> Iterator[_Chunk]:
    results: list[ImportResult | int] = []
    records: list[AssetRecord] = []
    lines: list[int] = []
    seen: set[str] = set()
    for row in rows:
        read = judge(read_asset_row(row))
        # A later row about the same asset must be stored after this one, so it opens a new chunk.
        full = len(results) >= _CHUNK or (isinstance(read, AssetRecord) and read.asset_id in seen)
        if full:
            yield _Chunk(tuple(results), tuple(records), tuple(lines))
            results, records, lines, seen = [], [], [], set()
        if isinstance(read, ImportResult):
            results.append(read if read.line is not None else read.model_copy(update={"line": row.line}))
        else:
            results.append(len(records))
            records.append(read)
            lines.append(row.line)
            seen.add(read.asset_id)
    if results:
        yield _Chunk(tuple(results), tuple(records), tuple(lines))


def read_asset_row(row: Row) -> AssetRecord | ImportResult:
    """The record of a row, or the result that says why there is none."""
    if row.problem is not None or row.record is None:
        code, detail = ("row_empty", "The row is empty.")
        if row.problem is not None:
            code, detail = row.problem.code, row.problem.detail
        return ImportResult(line=row.line, result="failed", code=code, detail=detail)
    stated = row.record.get("id")
    stated_id = str(stated)[:200] if stated is not None else None
    try:
        fields = AssetInput.model_validate(row.record)
    except ValidationError as error:
        return _refused(row.line, stated_id, error)
    if fields.id is None:
        return ImportResult(
            line=row.line, result="failed", code="id_missing", detail="The row has no id; add a column `id`."
        )
    try:
        return record_of(fields.id, fields)
    except Unprocessable as error:
        return ImportResult(
            line=row.line, id=fields.id, result="failed", code=error.code, detail=error.detail
        )
    except EquivalenceInvalid as error:
        return ImportResult(
            line=row.line, id=fields.id, result="failed", code="equivalence_invalid", detail=str(error)
        )


def _refused(line: int, asset_id: str | None, error: ValidationError) -> ImportResult:
    problems = field_problems(error)
    listed: Sequence[dict[str, str]] = [
        {"pointer": p.pointer, "code": p.code, "detail": p.detail} for p in problems
    ]
    first = problems[0]
    return ImportResult(
        line=line,
        id=asset_id,
        result="failed",
        code="fields_invalid",
        detail=f"{first.pointer.lstrip('/') or 'row'}: {first.detail}",
        errors=tuple(listed),
    )
