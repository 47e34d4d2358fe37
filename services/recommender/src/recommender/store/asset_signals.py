"""What the signal log says of one asset: how often it was seen and followed, and by whom it was engaged with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa


def counts_by_kind(connection: sa.Connection, asset_id: str, since: datetime) -> dict[str, int]:
    """Signals of each kind since then; those of crawlers weigh nothing and are left out."""
    rows = connection.exec_driver_sql(
        "SELECT kind, count(*) FROM recommender.signals "
        "WHERE asset_id = %s AND at >= %s AND weight > 0 GROUP BY kind",
        (asset_id, since),
    )
    return {row[0]: int(row[1]) for row in rows}


def engaged_people(
    connection: sa.Connection, asset_id: str, since: datetime, kinds: Sequence[str]
) -> tuple[int, int]:
    """→ (buyers, accounts) with a signal of these kinds."""
    row = connection.exec_driver_sql(
        "SELECT count(DISTINCT b.buyer_id), count(DISTINCT b.account_id) FROM recommender.signals s "
        "JOIN recommender.identities i USING (identity_id) JOIN recommender.buyers b USING (buyer_id) "
        "WHERE s.asset_id = %s AND s.at >= %s AND s.weight > 0 AND s.kind = ANY(%s)",
        (asset_id, since, list(kinds)),
    ).one()
    return int(row[0]), int(row[1])


def first_engagements(
    connection: sa.Connection, asset_id: str, since: datetime, kinds: Sequence[str], limit: int
) -> dict[int, float]:
    """Buyer → epoch seconds of the first such signal since then; the latest `limit` buyers."""
    rows = connection.exec_driver_sql(
        "SELECT i.buyer_id, extract(epoch FROM min(s.at))::float8 FROM recommender.signals s "
        "JOIN recommender.identities i USING (identity_id) "
        "WHERE s.asset_id = %s AND s.at >= %s AND s.weight > 0 AND s.kind = ANY(%s) "
        "GROUP BY i.buyer_id ORDER BY 2 DESC, 1 LIMIT %s",
        (asset_id, since, list(kinds), limit),
    )
    return {int(row[0]): float(row[1]) for row in rows}
