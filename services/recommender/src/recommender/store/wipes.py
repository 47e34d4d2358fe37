"""After erasures: writing tables anew, so that no byte of what was deleted stays in the database's files.

PostgreSQL leaves deleted rows in their pages until others take their place, even after VACUUM; its statistics
keep samples of values; its log of changes keeps everything until its files are used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg.errors
import sqlalchemy as sa

_LOCK = 0x57697065  # "Wipe"
_PARENTS = ("recommender.signals", "recommender.recommendation_log")
# Enough for max_wal_size at its default; a larger log is said to remain.
_MOST_SEGMENTS = 200
_DENIED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction)


@dataclass(frozen=True, slots=True)
class Wiped:
    """Tables written anew, and sentences about what could not be done."""

    tables: tuple[str, ...]
    remains: tuple[str, ...]


def note(connection: sa.Connection, relations: Sequence[str], now: datetime) -> None:
    """Part of an erasure: these held something of the erased."""
    connection.exec_driver_sql(
        "INSERT INTO recommender.wipes_due (relation, since, last) SELECT name, %s, %s "
        "FROM unnest(%s::text[]) AS name ON CONFLICT (relation) DO UPDATE SET last = excluded.last",
        (now, now, list(relations)),
    )


def waiting(connection: sa.Connection) -> list[tuple[str, datetime]]:
    """→ (table, when the first of the erasures was that it still holds), for those that still exist."""
    rows = connection.exec_driver_sql(
        "SELECT relation, since FROM recommender.wipes_due WHERE to_regclass(relation) IS NOT NULL ORDER BY 1"
    )
    return [(str(row[0]), row[1]) for row in rows]


def wipe(engine: sa.Engine) -> Wiped:
    """Write anew what erasures touched, then what PostgreSQL keeps beside it. Safe to run at any time, twice too.

    Each table is locked while it is written (a month's part of the log, not the whole); one that is in use for
    longer than the lock's timeout is left for the next run, and said so.
    """
    tables: list[str] = []
    remains: list[str] = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar_one():
            return Wiped((), ("Another run is under way.",))
        try:
            for relation, _ in waiting(connection):
                if _rewrite(connection, relation):
                    tables.append(relation)
                else:
                    remains.append(f"{relation} was in use; run this again.")
            connection.exec_driver_sql(
                "DELETE FROM recommender.wipes_due WHERE to_regclass(relation) IS NULL"
            )  # retention dropped it, and its file with it
            if tables:
                remains += _statistics(connection, tables)
                remains += _change_log(connection)
        finally:
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
    return Wiped(tuple(tables), tuple(remains))


def _rewrite(connection: sa.Connection, relation: str) -> bool:
    seen = connection.exec_driver_sql(
        "SELECT last FROM recommender.wipes_due WHERE relation = %s", (relation,)
    ).scalar_one()
    try:
        connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {relation}")
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            return False
        raise
    connection.exec_driver_sql(
        "DELETE FROM recommender.wipes_due WHERE relation = %s AND last = %s", (relation, seen)
    )
    return True


def _statistics(connection: sa.Connection, tables: Sequence[str]) -> list[str]:
    """Samples of values, ids among them: taken anew, and the old ones' pages with them."""
    for parent in _PARENTS:
        connection.exec_driver_sql(f"ANALYZE {parent}")
    emptied = [name for name in (*tables, *_PARENTS) if _is_empty(connection, name)]
    found = []
    if emptied and not _clear_samples(connection, emptied):
        found.append(
            f"Samples of {len(emptied)} tables that are empty now, in pg_statistic, until rows come into them."
        )
    owner = connection.exec_driver_sql(
        "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    ).scalar_one()
    if not owner:
        return [*found, "Old samples in pg_statistic: the database's owner must VACUUM FULL it."]
    connection.exec_driver_sql("VACUUM FULL pg_catalog.pg_statistic")
    return found


def _is_empty(connection: sa.Connection, relation: str) -> bool:
    return not connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {relation})").scalar_one()


def _clear_samples(connection: sa.Connection, relations: Sequence[str]) -> bool:
    """ANALYZE leaves the samples of a table that has no rows any more. → whether this server (18) can clear them."""
    known = "SELECT to_regprocedure('pg_clear_attribute_stats(text,text,text,boolean)') IS NOT NULL"
    if not connection.exec_driver_sql(known).scalar_one():
        return False
    connection.exec_driver_sql(
        "SELECT pg_clear_attribute_stats(n.nspname::text, c.relname::text, a.attname::text, t.inherited) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped, "
        "(VALUES (true), (false)) AS t(inherited) WHERE c.oid = ANY(%s::text[]::regclass[]::oid[])",
        (list(relations),),
    )
    return True


def _change_log(connection: sa.Connection) -> list[str]:
    """Finish every file of the write-ahead log that is there: the rest of each is filled with zeros.

    A file that is no longer needed is kept to be used again, with its old bytes in it, so that a checkpoint
    alone would leave them: the first one gives the files back, and then each is gone through once.
    """
    try:
        connection.exec_driver_sql("SELECT pg_switch_wal()")
        connection.exec_driver_sql("CHECKPOINT")
        files = int(connection.exec_driver_sql("SELECT count(*) FROM pg_ls_waldir()").scalar_one())
        for _ in range(min(files, _MOST_SEGMENTS) + 1):
            connection.exec_driver_sql("SELECT pg_logical_emit_message(false, 'foreword', 'wipe')")
            connection.exec_driver_sql("SELECT pg_switch_wal()")
        connection.exec_driver_sql("CHECKPOINT")
    except sa.exc.ProgrammingError as error:
        if not isinstance(error.orig, _DENIED):
            raise
        return [
            "The write-ahead log, until its files are used again: grant this role pg_checkpoint, pg_monitor and "
            "EXECUTE on pg_switch_wal()."
        ]
    kept = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL"
    ).scalar_one()
    archived = connection.exec_driver_sql("SHOW archive_mode").scalar_one()
    found = []
    if files > _MOST_SEGMENTS:
        found.append(f"{files - _MOST_SEGMENTS} files of the write-ahead log, until they are used again.")
    if kept:
        found.append(f"What {kept} replication slots keep of the write-ahead log, until it was read.")
    if archived != "off":
        found.append("The archive of the write-ahead log and its backups, until they expire.")
    return found
