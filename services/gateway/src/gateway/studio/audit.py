"""The audit log: who changed what and when, with what it was before, so that it can be put back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from gateway.studio.members import User
from gateway.studio.tables import audit_log
from servicekit.database import reading
from servicekit.errors import NotFound

_BLOCK = 500
# A cell that begins like this is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("at", "actor", "action", "subject_kind", "subject_id", "summary")
_VALUES = ("before", "after")


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


@dataclass(frozen=True, slots=True)
class Note:
    """An entry before it has its number; `subject` is (kind, id)."""

    at: datetime
    user_id: str | None
    actor: str
    action: str
    subject: tuple[str, str]
    summary: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class AuditLog:
    """Appended to by every change, in the studio or with a key; never changed or deleted."""

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
        who = "setup link" if user is None else f"{user.name} <{user.email}>"
        user_id = None if user is None else user.user_id
        return self.add([Note(now, user_id, who, action, subject, summary, before, after)])[0]

    def add(self, notes: Sequence[Note]) -> list[int]:
        """Write them in one transaction. → their numbers."""
        with self._engine.begin() as connection:
            return [
                int(
                    connection.execute(
                        sa.insert(audit_log)
                        .values(
                            at=note.at,
                            user_id=note.user_id,
                            actor=note.actor,
                            action=note.action,
                            subject_kind=note.subject[0],
                            subject_id=note.subject[1],
                            summary=note.summary,
                            before=note.before,
                            after=note.after,
                        )
                        .returning(audit_log.c.entry_id)
                    ).scalar_one()
                )
                for note in notes
            ]

    def find(self, entry_id: int) -> Entry:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(audit_log).where(audit_log.c.entry_id == entry_id)).first()
        if row is None:
            raise NotFound("There is no such entry in the audit log.")
        return _entry(row)

    def count_by(self, user: User, kind: str, entries: Sequence[int]) -> int:
        """How many of these entries are this user's, about such a thing."""
        asked = sa.select(sa.func.count()).where(
            audit_log.c.entry_id.in_(entries),
            audit_log.c.user_id == user.user_id,
            audit_log.c.subject_kind == kind,
        )
        with reading(self._engine) as connection:
            return int(connection.execute(asked).scalar_one())

    def of(self, kind: str, subject_id: str, *, limit: int = 10) -> list[Entry]:
        """The latest entries about one thing, newest first."""
        asked = (
            sa.select(audit_log)
            .where(audit_log.c.subject_kind == kind, audit_log.c.subject_id == subject_id)
            .order_by(audit_log.c.entry_id.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
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
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(asked)]

    def as_csv(self) -> Iterator[bytes]:
        """The whole log, oldest first, a block of lines at a time."""
        yield _line((*COLUMNS, *_VALUES))
        last = 0
        while True:
            asked = (
                sa.select(audit_log)
                .where(audit_log.c.entry_id > last)
                .order_by(audit_log.c.entry_id)
                .limit(_BLOCK)
            )
            with reading(self._engine) as connection:
                rows = connection.execute(asked).all()
            if not rows:
                return
            last = rows[-1].entry_id
            yield b"".join(
                _line(
                    [
                        f"{row.at:%Y-%m-%dT%H:%M:%SZ}",
                        *(getattr(row, name) for name in COLUMNS[1:]),
                        *(_json(getattr(row, name)) for name in _VALUES),
                    ]
                )
                for row in rows
            )


def _json(value: Any) -> str:
    return "" if value is None else orjson.dumps(value).decode()


def _line(cells: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([f"'{cell}" if str(cell).startswith(_FORMULA) else cell for cell in cells])
    return text.getvalue().encode()


def _entry(row: sa.Row[tuple[Any, ...]]) -> Entry:
    return Entry(**{name: row._mapping[name] for name in Entry.__slots__})
