"""Forgetting what is older than a firm keeps: whole months of the log are dropped, strays are deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from recommender.store import wipes

_LOCK = 0x52657465  # "Rete"
# The parents of monthly partitions, and whether buyers are made from what they hold.
_PARENTS = {"signals": True, "recommendation_log": False}
_BLOCK = 10_000
# A month that is dropped takes its file along; of these single rows go, and leave their bytes in it.
_PERSONAL = ("signals_default", "recommendation_log_default", "dead_letters", "email_slots")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one run took away, or would take away: partitions by name, and rows by table."""

    partitions: tuple[str, ...]
    rows: dict[str, int]


def first_kept_month(now: datetime, keep_months: int) -> datetime:
    """The month of `now` counts as kept, so 1 keeps this month alone. → its first moment, in UTC."""
    utc = now.astimezone(UTC)
    months = utc.year * 12 + utc.month - 1 - (keep_months - 1)
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


@contextmanager
def alone(engine: sa.Engine) -> Iterator[bool]:
    """Whether this is the only run of retention; the lock ends with the connection, so a killed run leaves none."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar_one()
        try:
            yield bool(mine)
        finally:
            if mine:
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def forget(
    engine: sa.Engine,
    now: datetime,
    keep_months: int,
    *,
    keep_email_days: int | None = None,
    dry_run: bool = False,
) -> Forgotten:
    """Drop every month before the kept ones; each step commits by itself, so a run that is stopped goes on.

    What mails showed goes by its own age: a mail that is opened after that is chosen for anew.

    The caller holds `alone`. Buyers whose signals go are marked stale: a profile is a function of the log.
    """
    before = first_kept_month(now, keep_months)
    partitions = _old_partitions(engine, before)
    rows: dict[str, int] = {}
    if not dry_run:
        for parent, name in partitions:
            _drop(engine, parent, name)
    for parent, buyers in _PARENTS.items():
        rows[f"{parent}_default"] = _delete(engine, f"{parent}_default", "at", before, dry_run, buyers)
    # A key is as old as its arrival, and a signal's own time may lie a little after that.
    for table in ("signal_keys", "dead_letters"):
        rows[table] = _delete(engine, table, "received_at", before - timedelta(days=1), dry_run, False)
    oldest_mail = before if keep_email_days is None else now - timedelta(days=keep_email_days)
    rows["email_slots"] = _delete(engine, "email_slots", "created_at", oldest_mail, dry_run, False)
    emptied = [f"recommender.{name}" for name, count in rows.items() if count and name in _PERSONAL]
    if emptied and not dry_run:
        with engine.begin() as connection:
            wipes.note(connection, emptied, now)
    return Forgotten(tuple(name for _, name in partitions), rows)


def _old_partitions(engine: sa.Engine, before: datetime) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE p.relnamespace = 'recommender'::regnamespace "
            "AND p.relname = ANY(%s) ORDER BY 2",
            (list(_PARENTS),),
        ).all()
    old = []
    for parent, name in found:
        month = re.fullmatch(rf"{parent}_y(\d{{4}})m(\d{{2}})", name)
        if month is not None and datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC) < before:
            old.append((str(parent), str(name)))
    return old


def _drop(engine: sa.Engine, parent: str, name: str) -> None:
    with engine.begin() as connection:
        # Dropping needs the parent for itself; first, so that no signal comes in between mark and drop.
        connection.exec_driver_sql(f"LOCK TABLE recommender.{parent} IN ACCESS EXCLUSIVE MODE")
        if _PARENTS[parent]:
            connection.exec_driver_sql(
                _MARK_STALE.format(source=f"SELECT identity_id FROM recommender.{name}")
            )
        connection.exec_driver_sql(f"DROP TABLE recommender.{name}")


_MARK_STALE = """
UPDATE recommender.buyers SET stale = true, version = version + 1 WHERE buyer_id IN
  (SELECT buyer_id FROM recommender.identities WHERE identity_id IN ({source}))
"""


def _delete(
    engine: sa.Engine, table: str, column: str, before: datetime, dry_run: bool, mark_buyers: bool
) -> int:
    """In blocks, so that no transaction is long."""
    if dry_run:
        with engine.connect() as connection:
            return int(
                connection.exec_driver_sql(
                    f"SELECT count(*) FROM recommender.{table} WHERE {column} < %s", (before,)
                ).scalar_one()
            )
    total = 0
    while True:
        with engine.begin() as connection:
            doomed = f"SELECT ctid FROM recommender.{table} WHERE {column} < %(before)s LIMIT {_BLOCK}"
            delete = f"DELETE FROM recommender.{table} WHERE ctid = ANY(ARRAY({doomed}))"
            if mark_buyers:
                marked = _MARK_STALE.format(source="SELECT identity_id FROM gone")
                sql = f"WITH gone AS ({delete} RETURNING identity_id), marked AS ({marked}) SELECT count(*) FROM gone"
            else:
                sql = f"WITH gone AS ({delete} RETURNING 1) SELECT count(*) FROM gone"
            count = int(connection.exec_driver_sql(sql, {"before": before}).scalar_one())
        total += count
        if count < _BLOCK:
            return total
