"""The list of accounts: where each stood when it was last counted, found by what it is sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from recommender.domain.identities import plain_traits
from recommender.store.buyers import AccountRow

_LOCK = 0x46616363  # "Facc": one replica at a time counts
# A fold is committed a moment after the time that it bears.
_COMMITTED_WITHIN = "interval '5 seconds'"
MOST_COUNTED = 10_000
_TIME_FOR_A_LIST = "2s"

SortKey = Literal["last", "people", "stage", "surging", "name"]
_SORTS: dict[SortKey, tuple[str, str]] = {
    "last": ("s.last_at", "timestamptz"),
    "people": ("s.people", "integer"),
    "stage": ("s.stage_rank", "smallint"),
    "surging": ("s.surging_count", "smallint"),
    "name": ("lower(s.name)", "text"),
}
_COLUMNS = (
    "account_id", "external_id", "name", "stage", "stage_rank", "confidence", "people", "signals", "last_at",
    "surging", "counted_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """One account as counted at `counted_at`. `last_at` is the epoch where there is no signal at all."""

    account_id: int
    external_id: str
    name: str
    stage: str
    stage_rank: int
    confidence: float
    people: int
    signals: int
    last_at: datetime
    surging: Sequence[str]
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class StandingQuery:
    """`after` is (the sort column's value as text, account_id) of the last row of the page before."""

    text: str | None = None
    stage: str | None = None
    surging: bool = False
    sort: SortKey = "last"
    descending: bool = True
    page_size: int = 25
    after: tuple[str, int] | None = None


def try_lock(connection: sa.Connection) -> bool:
    """Until the transaction ends."""
    return bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).scalar_one())


def changed_accounts(connection: sa.Connection, since: datetime, limit: int) -> list[int]:
    """Accounts of which somebody was folded since then, and after the account was counted."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT b.account_id FROM recommender.profiles p JOIN recommender.buyers b USING (buyer_id) "
        "LEFT JOIN recommender.account_standings s ON s.account_id = b.account_id "
        "WHERE p.folded_at >= %s AND b.account_id IS NOT NULL AND (s.account_id IS NULL "
        f"OR s.counted_at < p.folded_at + {_COMMITTED_WITHIN}) LIMIT %s",
        (since, limit),
    )
    return [int(row[0]) for row in rows]


def uncounted_accounts(connection: sa.Connection, limit: int) -> list[int]:
    rows = connection.exec_driver_sql(
        "SELECT account_id FROM recommender.accounts a WHERE NOT EXISTS "
        "(SELECT FROM recommender.account_standings s WHERE s.account_id = a.account_id) LIMIT %s",
        (limit,),
    )
    return [int(row[0]) for row in rows]


def silent_accounts(connection: sa.Connection, before: datetime, limit: int) -> list[int]:
    """Those counted longest ago: silence moves stages too."""
    rows = connection.exec_driver_sql(
        "SELECT account_id FROM recommender.account_standings WHERE counted_at < %s "
        "ORDER BY counted_at LIMIT %s",
        (before, limit),
    )
    return [int(row[0]) for row in rows]


def accounts_with_people(
    connection: sa.Connection, account_ids: Sequence[int]
) -> list[tuple[AccountRow, int]]:
    """→ (account, how many buyers it has, also beyond those whose signals are read)."""
    rows = connection.exec_driver_sql(
        "SELECT a.account_id, a.external_id, a.traits, "
        "(SELECT count(*) FROM recommender.buyers b WHERE b.account_id = a.account_id) "
        "FROM recommender.accounts a WHERE a.account_id = ANY(%s)",
        (list(account_ids),),
    )
    return [(AccountRow(row[0], row[1], plain_traits([row[2]])), int(row[3])) for row in rows]


def save(connection: sa.Connection, standings: Sequence[Standing]) -> None:
    """Keep what was counted, in the order of accounts, as others lock them."""
    names = [*_COLUMNS, "surging_count"]
    changed = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    rows = [
        {**{name: getattr(one, name) for name in _COLUMNS}, "surging": list(one.surging)}
        | {"surging_count": len(one.surging)}
        for one in sorted(standings, key=lambda standing: standing.account_id)
    ]
    if rows:
        connection.exec_driver_sql(
            f"INSERT INTO recommender.account_standings ({', '.join(names)}) "
            f"SELECT {', '.join(f'%({name})s' for name in names)} "
            "WHERE EXISTS (SELECT FROM recommender.accounts WHERE account_id = %(account_id)s) "
            f"ON CONFLICT (account_id) DO UPDATE SET {changed}",
            rows,
        )


def page(connection: sa.Connection, query: StandingQuery) -> tuple[list[tuple[Standing, str]], int]:
    """→ (accounts, each with its sort column as text, one more than a page if there are so many; how many
    there are in all, at most `MOST_COUNTED` + 1).

    Raises `sa.exc.OperationalError` when the database takes longer than two seconds.
    """
    _limit_time(connection)
    conditions, values = _conditions(query)
    where = " AND ".join(conditions)
    total = connection.exec_driver_sql(
        f"SELECT count(*) FROM (SELECT FROM recommender.account_standings s WHERE {where} "
        f"LIMIT {MOST_COUNTED + 1}) counted",
        values,
    ).scalar_one()
    column, kind = _SORTS[query.sort]
    beyond = ""
    if query.after is not None:
        sign = "<" if query.descending else ">"
        beyond = f" AND ({column}, s.account_id) {sign} (%(after)s::{kind}, %(after_id)s)"
        values |= {"after": query.after[0], "after_id": query.after[1]}
    way = "DESC" if query.descending else "ASC"
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(f's.{name}' for name in _COLUMNS)}, {column}::text "
        f"FROM recommender.account_standings s WHERE {where}{beyond} "
        f"ORDER BY {column} {way}, s.account_id {way} LIMIT %(limit)s",
        {**values, "limit": query.page_size + 1},
    )
    return [(Standing(*row[:-1]), str(row[-1])) for row in rows], int(total)


def count_by_stage(connection: sa.Connection) -> dict[str, int]:
    _limit_time(connection)
    rows = connection.exec_driver_sql(
        "SELECT stage, count(*) FROM recommender.account_standings GROUP BY stage"
    )
    return {str(row[0]): int(row[1]) for row in rows}


def _conditions(query: StandingQuery) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = ["true"]
    values: dict[str, Any] = {}
    if query.text:
        escaped = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append("(s.name ILIKE %(text)s OR s.external_id ILIKE %(text)s)")
        values["text"] = f"%{escaped}%"
    if query.stage is not None:
        conditions.append("s.stage = %(stage)s")
        values["stage"] = query.stage
    if query.surging:
        conditions.append("s.surging_count > 0")
    return conditions, values


def _limit_time(connection: sa.Connection) -> None:
    """A search that no index serves must not hold a connection for long; until the transaction ends."""
    connection.exec_driver_sql("SELECT set_config('statement_timeout', %s, true)", (_TIME_FOR_A_LIST,))
