"""The audit log: who changed what and when, with what it was before, so that it can be put back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.studio.people import User
from gateway.studio.tables import audit_log
from servicekit.errors import NotFound

_BLOCK = 500
# A cell that begins like this is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("at", "actor", "action", "subject_kind", "subject_id", "summary")


@dataclass(frozen=True, slots=True)
class Entry:
    entry_id: int
    at: datetime
    user_id: str | None
    actor: str
    action: str
    subject_kind: str
    subject_id: str
    summary: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditLog:
    """Appended to by every change that the studio makes; never changed or deleted by it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record(
        self,
        user: User | None,
        action: str,
        subject: tuple[str, str],
        summary: str,
        *,
        now: datetime,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> int:
        """→ the entry's number. `subject` is (kind, id)."""
        with self._engine.begin() as connection:
            return int(
                connection.execute(
                    sa.insert(audit_log)
                    .values(
                        at=now,
                        user_id=None if user is None else user.user_id,
                        actor="setup link" if user is None else f"{user.name} <{user.email}>",
                        action=action,
                        subject_kind=subject[0],
                        subject_id=subject[1],
                        summary=summary,
                        before=before,
                        after=after,
                    )
                    .returning(audit_log.c.entry_id)
                ).scalar_one()
            )

    def find(self, entry_id: int) -> Entry:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(audit_log).where(audit_log.c.entry_id == entry_id)).first()
        if row is None:
            raise NotFound("There is no such entry in the audit log.")
        return _entry(row)

    def of(self, kind: str, subject_id: str, *, limit: int = 10) -> list[Entry]:
        """The latest entries about one thing, newest first."""
        asked = (
            sa.select(audit_log)
            .where(audit_log.c.subject_kind == kind, audit_log.c.subject_id == subject_id)
            .order_by(audit_log.c.entry_id.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(asked)]

    def page(self, *, text: str = "", before_id: int | None = None, limit: int = 50) -> list[Entry]:
        asked = sa.select(audit_log).order_by(audit_log.c.entry_id.desc()).limit(limit)
        if before_id is not None:
            asked = asked.where(audit_log.c.entry_id < before_id)
        if text:
            like = f"%{text.replace('%', '').replace('_', '')}%"
            asked = asked.where(
                sa.or_(
                    *(
                        column.ilike(like)
                        for column in (
                            audit_log.c.actor,
                            audit_log.c.summary,
                            audit_log.c.subject_id,
                            audit_log.c.action,
                        )
                    )
                )
            )
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(asked)]

    def as_csv(self) -> Iterator[bytes]:
        """The whole log, oldest first, a block of lines at a time."""
        yield _line(COLUMNS)
        last = 0
        while True:
            asked = (
                sa.select(audit_log)
                .where(audit_log.c.entry_id > last)
                .order_by(audit_log.c.entry_id)
                .limit(_BLOCK)
            )
            with self._engine.connect() as connection:
                rows = connection.execute(asked).all()
            if not rows:
                return
            last = rows[-1].entry_id
            yield b"".join(
                _line([f"{row.at:%Y-%m-%dT%H:%M:%SZ}", *(getattr(row, name) for name in COLUMNS[1:])])
                for row in rows
            )


def _line(cells: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([f"'{cell}" if str(cell).startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue().encode()


def _entry(row: sa.Row[tuple[Any, ...]]) -> Entry:
    return Entry(**{name: row._mapping[name] for name in Entry.__slots__})
