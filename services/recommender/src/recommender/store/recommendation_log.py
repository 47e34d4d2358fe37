"""The table of what was recommended: appended to in blocks, read for an asset's figures and for demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from operator import attrgetter

import psycopg
import sqlalchemy as sa

from recommender.domain.answers import AnswerRecord

_NAMES = tuple(f.name for f in fields(AnswerRecord))
_COLUMNS = ", ".join(_NAMES)
_VALUES = attrgetter(*_NAMES)


def append(connection: sa.Connection, records: Sequence[AnswerRecord]) -> None:
    """COPY: thousands of rows cost one round trip. The caller commits.

    Of buyers who were erased since they were answered nothing is kept but that there was an answer.
    """
    if not records:
        return
    living = _hold(connection, sorted({r.identity_id for r in records if r.identity_id is not None}))
    kept = [r if r.identity_id is None or r.identity_id in living else _nobodys(r) for r in records]
    cursor: psycopg.Cursor[tuple[object, ...]] = connection.connection.cursor()  # type: ignore[assignment]
    with cursor, cursor.copy(f"COPY recommender.recommendation_log ({_COLUMNS}) FROM STDIN") as copy:
        for record in kept:
            copy.write_row([list(v) if isinstance(v, tuple) else v for v in _VALUES(record)])


def _hold(connection: sa.Connection, identity_ids: Sequence[int]) -> set[int]:
    """Which of these identities there are; an erasure waits until the caller commits."""
    if not identity_ids:
        return set()
    rows = connection.exec_driver_sql(
        "SELECT identity_id FROM recommender.identities WHERE identity_id = ANY(%s) "
        "ORDER BY identity_id FOR KEY SHARE",
        (list(identity_ids),),
    )
    return {int(row[0]) for row in rows}


def _nobodys(record: AnswerRecord) -> AnswerRecord:
    return replace(record, identity_id=None, account_id=None, persona=None, topics=())


def forget(connection: sa.Connection, identity_ids: Sequence[int]) -> int:
    """Take an erased buyer's answers out. → how many there were."""
    return int(
        connection.exec_driver_sql(
            "DELETE FROM recommender.recommendation_log WHERE identity_id = ANY(%s)", (list(identity_ids),)
        ).rowcount
    )
