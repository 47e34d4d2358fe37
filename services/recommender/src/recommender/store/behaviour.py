"""The log as the learner reads it: who engaged with which asset, when and how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.numeric.behaviour import EventTable

# Enough to learn from; beyond it the oldest are left out.
MOST_EVENTS = 1_000_000


def log_size(connection: sa.Connection) -> int:
    """Grows whenever a signal is stored; equal sizes mean there is nothing new to learn."""
    return int(
        connection.exec_driver_sql("SELECT coalesce(sum(version), 0) FROM recommender.buyers").scalar_one()
    )


def load_events(connection: sa.Connection, kinds: Sequence[str], since: float) -> EventTable:
    """Signals about assets since `since` (epoch seconds), of kinds the table knows, the newest first."""
    index = {name: position for position, name in enumerate(kinds)}
    rows = connection.exec_driver_sql(
        "SELECT i.buyer_id, s.asset_id, extract(epoch FROM s.at)::float8, s.kind, s.weight::float8 "
        "FROM recommender.signals s JOIN recommender.identities i USING (identity_id) "
        "WHERE s.asset_id IS NOT NULL AND s.at >= to_timestamp(%s) AND s.kind = ANY(%s) "
        f"ORDER BY s.at DESC LIMIT {MOST_EVENTS}",
        (since, list(kinds)),
    ).all()
    codes: dict[str, int] = {}
    asset: NDArray[np.int32] = np.array(
        [codes.setdefault(row[1], len(codes)) for row in rows], dtype=np.int32
    )
    return EventTable(
        buyer=np.array([row[0] for row in rows], dtype=np.int64),
        asset=asset,
        names=tuple(codes),
        at=np.array([row[2] for row in rows], dtype=np.float64),
        kind=np.array([index[row[3]] for row in rows], dtype=np.int16),
        weight=np.array([row[4] for row in rows], dtype=np.float64),
    )
