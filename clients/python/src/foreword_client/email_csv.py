"""`foreword email`: a CSV of recipients in, the same with recommendation columns out, for any email tool."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from foreword_client.client import Client

_FIELDS = ("title", "url", "summary", "type", "image_url")
_ROWS = 1_000
_MOST_ROWS = 10_000
_NUMBER = re.compile(r"^[+-][\d\s().,/-]*\d[\d\s().,/-]*$")


class RecipientsInvalid(Exception):
    """The CSV cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class EmailRun:
    """What is asked for each recipient; `id_column` names the column with their id."""

    count: int = 3
    placement: str = "email"
    id_column: str = "user_id"
    max_per_asset: int | None = None
    once_an_account: bool = False

    @property
    def columns(self) -> list[str]:
        found = [f"fw_{rank}_{name}" for rank in range(1, self.count + 1) for name in _FIELDS]
        return [*found, "fw_tier", "fw_problem"]

    @property
    def rows_at_once(self) -> int:
        """Limits hold within one batch, so it is as large as it may be where there are any."""
        return _MOST_ROWS if self.max_per_asset or self.once_an_account else _ROWS


@dataclass(frozen=True, slots=True)
class EmailReport:
    rows: int
    resumed: int
    problems: int


def safe_cell(value: str) -> str:
    """A text that no spreadsheet takes for a formula; numbers and telephone numbers stay as they are."""
    if value[:1] in ("=", "@", "\t", "\r") or (value[:1] in ("+", "-") and not _NUMBER.match(value)):
        return "'" + value
    return value


def fill_columns(
    client: Client, source: Path, target: Path, run: EmailRun, on_rows: Callable[[int], None]
) -> EmailReport:
    """Write `target`; a run that was stopped goes on where it was, as long as file and options are the same.

    Raises RecipientsInvalid, ForewordUnavailable and RequestRefused.
    """
    dialect, header = _look(source, run)
    part, state = _draft(source, target, run)
    done, size, problems = _resumed(part, state)
    on_rows(done)
    mode = "r+b" if part.exists() else "w+b"
    rows = done
    with part.open(mode) as binary:
        binary.truncate(size)
        binary.seek(size)
        with open(binary.fileno(), "w", encoding="utf-8", newline="", closefd=False) as stream:
            writer = csv.writer(stream, dialect)
            if size == 0:
                writer.writerow([*header, *run.columns])
            for block in _blocks(source, dialect, done, run.rows_at_once):
                for row, added in zip(block, _answers(client, block, header, run), strict=True):
                    writer.writerow([safe_cell(cell) for cell in (*row, *added)])
                    problems += bool(added[-1])
                rows += len(block)
                stream.flush()
                kept = {"rows": rows, "bytes": binary.seek(0, 2), "problems": problems}
                state.write_bytes(orjson.dumps(kept))
                on_rows(len(block))
    part.replace(target)
    state.unlink(missing_ok=True)
    return EmailReport(rows, done, problems)


def count_rows(source: Path, run: EmailRun) -> int:
    dialect, _ = _look(source, run)
    return sum(len(block) for block in _blocks(source, dialect, 0, _MOST_ROWS))


def _look(source: Path, run: EmailRun) -> tuple[type[csv.Dialect], list[str]]:
    """→ (how the file is written, its header)"""
    with source.open(encoding="utf-8-sig", newline="") as stream:
        try:
            first = stream.readline()
        except UnicodeDecodeError as error:
            raise RecipientsInvalid(f"{source} is not UTF-8.") from error
    delimiter = max(",;\t", key=first.count)

    class Dialect(csv.excel):
        pass

    Dialect.delimiter = delimiter
    header = next(csv.reader([first], Dialect), [])
    if run.id_column not in header and "anonymous_id" not in header:
        raise RecipientsInvalid(
            f"{source} has no column `{run.id_column}`; it has {', '.join(header) or 'none'}. "
            "Name the column of the buyers' ids with --id-column."
        )
    if twice := sorted(set(run.columns) & set(header)):
        raise RecipientsInvalid(f"{source} has a column {twice[0]} already.")
    return Dialect, header


def _blocks(source: Path, dialect: type[csv.Dialect], skip: int, size: int) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    with source.open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, dialect)):
            if number <= skip:  # the header is row 0
                continue
            block.append(row)
            if len(block) == size:
                yield block
                block = []
    if block:
        yield block


def _draft(source: Path, target: Path, run: EmailRun) -> tuple[Path, Path]:
    """Another file or other options are another run."""
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(repr(run).encode())
    name = f".{target.name}.{digest.hexdigest()[:12]}"
    return target.with_name(name + ".part"), target.with_name(name + ".state")


def _resumed(part: Path, state: Path) -> tuple[int, int, int]:
    """→ (rows that are written, bytes up to there, problems among them)"""
    try:
        kept = orjson.loads(state.read_bytes())
        found = int(kept["rows"]), int(kept["bytes"]), int(kept["problems"])
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return 0, 0, 0
    return found if part.exists() and part.stat().st_size >= found[1] else (0, 0, 0)


def _answers(
    client: Client, block: Sequence[Sequence[str]], header: Sequence[str], run: EmailRun
) -> list[list[str]]:
    requests = [_request(dict(zip(header, row, strict=False)), run) for row in block]
    known = [request for request in requests if request is not None]
    answers = iter(
        client.recommend_batch(known, max_per_asset=run.max_per_asset, once_an_account=run.once_an_account)
        if known
        else ()
    )
    empty = [""] * (len(_FIELDS) * run.count + 1)
    return [
        [*empty, "no id in this row"] if request is None else _columns(next(answers), run)
        for request in requests
    ]


def _request(row: Mapping[str, str], run: EmailRun) -> dict[str, Any] | None:
    request: dict[str, Any] = {"count": run.count, "placement": run.placement, "channel": "email"}
    if user_id := row.get(run.id_column, "").strip():
        request["user_id"] = user_id
    elif anonymous_id := row.get("anonymous_id", "").strip():
        request["anonymous_id"] = anonymous_id
    else:
        return None
    if account_id := row.get("account_id", "").strip():
        request["account_id"] = account_id
    return request


def _columns(answer: Mapping[str, Any], run: EmailRun) -> list[str]:
    items = list(answer.get("items", ()))[: run.count]
    cells: list[str] = []
    for item in items:
        # The link in the mail is the signed one, which counts the click.
        shown = {**item, "url": item.get("click_url") or item["url"]}
        cells += [str(shown.get(name) or "") for name in _FIELDS]
    cells += [""] * (len(_FIELDS) * (run.count - len(items)))
    problem = "" if "items" in answer else str(answer.get("detail") or answer.get("title") or "refused")
    return [*cells, str(answer.get("meta", {}).get("tier", "")), problem]
