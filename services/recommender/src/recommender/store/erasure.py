"""Taking one buyer out of every table, and giving out what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from recommender.domain.identities import Identity
from recommender.store.identities import identity_hash


def identities_of(connection: sa.Connection, external_id: str) -> tuple[set[int], list[tuple[int, Identity]]]:
    """→ (buyers this id leads to, all their identities), locked until commit."""
    buyers = {
        int(row[0])
        for row in connection.exec_driver_sql(
            "SELECT DISTINCT buyer_id FROM recommender.identities WHERE external_id = %s", (external_id,)
        )
    }
    rows = connection.exec_driver_sql(
        "SELECT identity_id, kind, external_id FROM recommender.identities WHERE buyer_id = ANY(%s) "
        "ORDER BY identity_id FOR UPDATE",
        (sorted(buyers),),
    )
    return buyers, [(int(row[0]), Identity(row[1], row[2])) for row in rows]


def erase(
    connection: sa.Connection,
    buyers: set[int],
    identities: Sequence[tuple[int, Identity]],
    receipt_id: str,
    now: datetime,
) -> int:
    """Remove signals, profile, dead letters and identities; leave hashes that keep replays out. → signals."""
    ids = [identity_id for identity_id, _ in identities]
    signals = connection.exec_driver_sql(
        "DELETE FROM recommender.signals WHERE identity_id = ANY(%s)", (ids,)
    )
    for _, identity in identities:
        connection.exec_driver_sql(
            "DELETE FROM recommender.dead_letters WHERE position(%s::bytea IN event) > 0",
            (identity.external_id.encode(),),
        )
    connection.exec_driver_sql(
        "UPDATE recommender.identities SET linked_to = NULL WHERE linked_to = ANY(%s)", (ids,)
    )
    connection.exec_driver_sql("DELETE FROM recommender.identities WHERE identity_id = ANY(%s)", (ids,))
    connection.exec_driver_sql("DELETE FROM recommender.buyers WHERE buyer_id = ANY(%s)", (sorted(buyers),))
    connection.exec_driver_sql(
        "INSERT INTO recommender.tombstones (identity_hash, receipt_id, erased_at) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        [(identity_hash(identity), receipt_id, now) for _, identity in identities],
    )
    return int(signals.rowcount)


def tombstone_of(connection: sa.Connection, external_id: str) -> tuple[str, datetime] | None:
    """→ (receipt id, when) of an erasure that took this id, known or anonymous."""
    hashes = [identity_hash(Identity("user", external_id)), identity_hash(Identity("anonymous", external_id))]
    row = connection.exec_driver_sql(
        "SELECT receipt_id, erased_at FROM recommender.tombstones WHERE identity_hash = ANY(%s) LIMIT 1",
        (hashes,),
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def exported_signals(connection: sa.Connection, buyer_id: int) -> Iterator[dict[str, Any]]:
    """Every signal of a buyer as it was received, oldest first."""
    rows = connection.exec_driver_sql(
        "SELECT s.at, s.received_at, s.kind, s.asset_id, s.event FROM recommender.signals s WHERE s.identity_id "
        "IN (SELECT identity_id FROM recommender.identities WHERE buyer_id = %s) ORDER BY s.at",
        (buyer_id,),
    )
    for row in rows:
        yield {"at": row[0], "received_at": row[1], "type": row[2], "asset_id": row[3], "event": row[4]}
