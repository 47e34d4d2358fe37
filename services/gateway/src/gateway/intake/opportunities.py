"""A plain CSV of opportunities, as any CRM exports it, as tracking events.

One row an opportunity: `opportunity_id`, `account_id`, `stage` (opened, won or lost), and optionally `at`,
`opened_at`, `closed_at`, `user_id`, `amount` and `currency`. A row tells as much as it dates: that the
opportunity was opened, and how it ended. A row sent again doubles nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from servicekit.errors import BadRequest, PayloadTooLarge

MAX_ROWS = 10_000
_NEEDED = ("opportunity_id", "account_id", "stage")
_STAGES = {
    **dict.fromkeys(("opened", "open", "created", "new"), "opened"),
    **dict.fromkeys(("won", "closedwon", "closed won"), "won"),
    **dict.fromkeys(("lost", "closedlost", "closed lost"), "lost"),
}
_ENDS = {"won": "Opportunity Won", "lost": "Opportunity Lost"}


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One row of the table by its line: the events it makes, or why it makes none."""

    line: int
    events: tuple[dict[str, Any], ...] = ()
    problem: str | None = None


def read_table(body: bytes) -> list[ReadRow]:
    """Every row, good or bad. Raises `BadRequest` for what is no such table."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("The table is not UTF-8.", code="text_malformed") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[ReadRow] = []
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            raise BadRequest(f"The table lacks the column {', '.join(missing)}.", code="column_missing")
        reader.fieldnames = names
        for row in reader:
            if len(rows) >= MAX_ROWS:
                raise PayloadTooLarge(f"Send at most {MAX_ROWS:,} rows at once.", code="too_many_rows")
            rows.append(_read(reader.line_num, row))
    except csv.Error as error:
        raise BadRequest(f"The table cannot be read: {error}.", code="csv_malformed") from error
    return rows


def _read(line: int, row: Mapping[str | None, Any]) -> ReadRow:
    said = {str(k): v.strip() for k, v in row.items() if k is not None and isinstance(v, str) and v.strip()}
    for name in _NEEDED:
        if name not in said:
            return ReadRow(line, problem=f"`{name}` is empty.")
    stage = _STAGES.get(said["stage"].lower())
    if stage is None:
        return ReadRow(line, problem="`stage` must be opened, won or lost.")
    try:
        opened = _time(said.get("opened_at") or (said.get("at") if stage == "opened" else None))
        closed = _time(said.get("closed_at") or (said.get("at") if stage != "opened" else None))
    except ValueError:
        return ReadRow(line, problem="A date must be written like 2026-01-31 or 2026-01-31T12:00:00Z.")
    events = []
    if stage == "opened" or opened is not None:
        events.append(_event(said, "Opportunity Opened", "opened", opened))
    if stage in _ENDS:
        events.append(_event(said, _ENDS[stage], stage, closed))
    return ReadRow(line, tuple(events))


def _event(said: Mapping[str, str], name: str, moment: str, at: datetime | None) -> dict[str, Any]:
    opportunity = said["opportunity_id"]
    who = {"userId": said["user_id"]} if "user_id" in said else {"anonymousId": f"opportunity-{opportunity}"}
    kept = ("opportunity_id", "amount", "currency", "name")
    event: dict[str, Any] = {
        "type": "track",
        "event": name,
        **who,
        "groupId": said["account_id"],
        "messageId": f"opportunity-{opportunity}-{moment}",
        "properties": {field: said[field] for field in kept if field in said},
    }
    return {**event, "timestamp": at.isoformat()} if at is not None else event


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
