"""Calibrations by version, and the log of accounts that they are fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

MOST_SIGNALS = 5_000
"""Of one account, the latest: what the filter counts at most, too."""


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    version: int
    body: dict[str, Any]
    created_at: datetime


def live(connection: sa.Connection) -> StoredCalibration | None:
    """The calibration that is served: the latest that was not taken back."""
    row = connection.exec_driver_sql(
        "SELECT version, body, created_at FROM recommender.calibrations WHERE retired_at IS NULL "
        "ORDER BY version DESC LIMIT 1"
    ).one_or_none()
    return None if row is None else StoredCalibration(int(row[0]), row[1], row[2])


def store(
    connection: sa.Connection,
    stage_version: str,
    body: dict[str, Any],
    report: Sequence[dict[str, Any]],
    now: datetime,
) -> int:
    """→ the version it was stored as; served from then on."""
    return int(
        connection.exec_driver_sql(
            "INSERT INTO recommender.calibrations (stage_version, body, report, created_at) "
            "VALUES (%s, %s::jsonb, %s::jsonb, %s) RETURNING version",
            (stage_version, orjson.dumps(body).decode(), orjson.dumps(report).decode(), now),
        ).scalar_one()
    )


def retire(connection: sa.Connection, now: datetime) -> int | None:
    """Take the live calibration back. → its version, None if there was none."""
    row = connection.exec_driver_sql(
        "UPDATE recommender.calibrations SET retired_at = %s WHERE version = (SELECT max(version) "
        "FROM recommender.calibrations WHERE retired_at IS NULL) RETURNING version",
        (now,),
    ).one_or_none()
    return None if row is None else int(row[0])


def accounts_with_outcomes(connection: sa.Connection) -> list[tuple[int, str, float]]:
    """→ (account, kind, epoch seconds) of everything that the sales system has said."""
    rows = connection.exec_driver_sql(
        "SELECT account_id, kind, extract(epoch FROM at)::float8 FROM recommender.signals "
        "WHERE account_id IS NOT NULL ORDER BY account_id, at, kind"
    )
    return [(int(row[0]), str(row[1]), float(row[2])) for row in rows]


def some_accounts(connection: sa.Connection, most: int) -> tuple[list[int], int]:
    """→ (up to `most` accounts, spread evenly by a hash so that a second run takes the same; how many there are)."""
    count = int(connection.exec_driver_sql("SELECT count(*) FROM recommender.accounts").scalar_one())
    rows = connection.exec_driver_sql(
        "SELECT account_id FROM recommender.accounts ORDER BY md5(account_id::text) LIMIT %s", (most,)
    )
    return [int(row[0]) for row in rows], count


_SIGNALS = f"""
SELECT w.account_id, s.buyer_id, extract(epoch FROM s.at)::float8, s.kind, s.weight::float8, s.type
FROM unnest(%(ids)s::bigint[]) AS w(account_id)
CROSS JOIN LATERAL (
    SELECT b.buyer_id, s.at, s.kind, s.weight, a.type
    FROM recommender.buyers b JOIN recommender.identities i USING (buyer_id)
    JOIN recommender.signals s USING (identity_id)
    LEFT JOIN recommender.assets a ON a.asset_id = s.asset_id
    WHERE b.account_id = w.account_id AND s.account_id IS NULL AND s.weight > 0
    ORDER BY s.at DESC LIMIT {MOST_SIGNALS}
) s
"""


def account_signals(
    connection: sa.Connection, account_ids: Sequence[int]
) -> Iterator[tuple[int, int, float, str, float, str | None]]:
    """→ (account, buyer, epoch seconds, kind, weight, type of the asset) of each signal of its people."""
    for row in connection.exec_driver_sql(_SIGNALS, {"ids": list(account_ids)}):
        yield int(row[0]), int(row[1]), float(row[2]), str(row[3]), float(row[4]), row[5]


def people_traits(connection: sa.Connection, account_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The traits of each identity, by buyer."""
    found: dict[int, list[dict[str, Any]]] = {}
    for buyer_id, traits in connection.exec_driver_sql(
        "SELECT i.buyer_id, i.traits FROM recommender.identities i JOIN recommender.buyers b USING (buyer_id) "
        "WHERE b.account_id = ANY(%s) ORDER BY i.kind DESC, i.identity_id",
        (list(account_ids),),
    ):
        found.setdefault(int(buyer_id), []).append(traits)
    return found
