"""The last count of buyers and accounts by stage, which one replica makes and all of them show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

_LOCK = 0x43656E73  # "Cens": one replica counts at a time
_STAGES = {
    "buyer": ("recommender.buyer_stages", "buyer_id", "recommender.buyers"),
    "account": ("recommender.account_stages", "account_id", "recommender.accounts"),
}
Move = tuple[str, str, str]
"""(subject, from, to)."""


@dataclass(frozen=True, slots=True)
class Count:
    """What was found at `counted_at`; nobody needs to count again before `due_at`."""

    counted_at: datetime
    due_at: datetime
    figures: Mapping[str, Any]


@contextmanager
def alone(engine: sa.Engine) -> Iterator[bool]:
    """Whether no other replica counts. The lock ends with the connection, so a killed one leaves none."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = bool(connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar_one())
        try:
            yield mine
        finally:
            if mine:
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def last_count(connection: sa.Connection) -> Count | None:
    row = connection.exec_driver_sql(
        "SELECT counted_at, due_at, figures FROM recommender.census"
    ).one_or_none()
    return None if row is None else Count(row[0], row[1], row[2])


def moves(connection: sa.Connection) -> dict[Move, int]:
    """How often each stage has become another since counting began."""
    rows = connection.exec_driver_sql(
        "SELECT subject, from_stage, to_stage, moves FROM recommender.stage_moves"
    )
    return {(str(row[0]), str(row[1]), str(row[2])): int(row[3]) for row in rows}


def write(connection: sa.Connection, count: Count, named: Mapping[str, Mapping[int, str]]) -> None:
    """The count, where each now stands (subject → id → stage), and the moves that this makes; all or nothing.

    Whoever was counted before keeps their last stage until they are counted again. The caller is `alone`.
    """
    for subject, stages in named.items():
        _write_stages(connection, subject, stages)
    connection.exec_driver_sql(
        "INSERT INTO recommender.census (counted_at, due_at, figures) VALUES (%s, %s, %s::jsonb) "
        "ON CONFLICT (singleton) DO UPDATE SET counted_at = excluded.counted_at, due_at = excluded.due_at, "
        "figures = excluded.figures",
        (count.counted_at, count.due_at, orjson.dumps(dict(count.figures)).decode()),
    )


def _write_stages(connection: sa.Connection, subject: str, stages: Mapping[int, str]) -> None:
    table, key, owners = _STAGES[subject]
    ids = sorted(stages)
    connection.exec_driver_sql(
        # Who was erased or merged since they were read is not counted, nor is whoever is about to be: counting
        # must make nobody wait.
        f"WITH counted AS (SELECT * FROM unnest(%(ids)s::bigint[], %(stages)s::text[]) AS c (id, stage)), "
        f"there AS (SELECT o.{key} AS id FROM {owners} o WHERE o.{key} = ANY(%(ids)s) "
        f"FOR KEY SHARE SKIP LOCKED), "
        f"before AS (SELECT {key} AS id, stage FROM {table} WHERE {key} = ANY(%(ids)s)), "
        f"changed AS (SELECT c.id, c.stage, b.stage AS was FROM counted c JOIN there USING (id) "
        f"LEFT JOIN before b USING (id) WHERE c.stage IS DISTINCT FROM b.stage), "
        f"kept AS (INSERT INTO {table} ({key}, stage) SELECT id, stage FROM changed "
        f"ON CONFLICT ({key}) DO UPDATE SET stage = excluded.stage) "
        "INSERT INTO recommender.stage_moves (subject, from_stage, to_stage, moves) "
        "SELECT %(subject)s, was, stage, count(*) FROM changed WHERE was IS NOT NULL GROUP BY was, stage "
        "ON CONFLICT (subject, from_stage, to_stage) "
        "DO UPDATE SET moves = recommender.stage_moves.moves + excluded.moves",
        {"ids": ids, "stages": [stages[id_] for id_ in ids], "subject": subject},
    )
