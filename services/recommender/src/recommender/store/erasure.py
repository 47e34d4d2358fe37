"""Taking one buyer out of every table, and giving out what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from recommender.domain.identities import Identity
from recommender.store import email_slots, recommendation_log
from recommender.store.identities import identity_hash
from recommender.store.webhooks import forget_buyers

# A shorter id is part of many a word that has nothing to do with it.
_TELLING_LENGTH = 8


def identities_of(connection: sa.Connection, external_id: str) -> tuple[set[int], list[tuple[int, Identity]]]:
    """→ (buyers this id leads to, all their identities), locked until commit."""
    buyers = {
        int(row[0])
        for row in connection.exec_driver_sql(
            "SELECT DISTINCT buyer_id FROM recommender.identities WHERE external_id = %(id)s OR claimed_id = %(id)s",
            {"id": external_id},
        )
    }
    found: list[tuple[int, Identity]] = []
    while True:
        rows = connection.exec_driver_sql(
            "SELECT identity_id, kind, external_id, buyer_id FROM recommender.identities "
            "WHERE buyer_id = ANY(%s) OR identity_id = ANY(%s) ORDER BY identity_id FOR UPDATE",
            (sorted(buyers), [identity_id for identity_id, _ in found]),
        ).all()
        # A merge that was under way may have added identities, or moved these; look until nothing moves.
        known = len(found), len(buyers)
        found = [(int(row[0]), Identity(row[1], row[2])) for row in rows]
        buyers |= {int(row[3]) for row in rows}
        if (len(found), len(buyers)) == known:
            return buyers, found


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
    for trace in {trace for _, identity in identities for trace in _traces(identity.external_id)}:
        connection.exec_driver_sql(
            "DELETE FROM recommender.dead_letters WHERE position(%s::bytea IN event) > 0", (trace,)
        )
    _scrub(connection, sorted({identity.external_id for _, identity in identities}))
    recommendation_log.forget(connection, ids)
    email_slots.forget(connection, [identity for _, identity in identities])
    forget_buyers(connection, sorted(buyers))
    connection.exec_driver_sql(
        "UPDATE recommender.identities SET linked_to = NULL WHERE linked_to = ANY(%s)", (ids,)
    )
    connection.exec_driver_sql("DELETE FROM recommender.identities WHERE identity_id = ANY(%s)", (ids,))
    # What their accounts are listed with came of them too; it is counted anew without them.
    connection.exec_driver_sql(
        "DELETE FROM recommender.account_standings WHERE account_id IN "
        "(SELECT account_id FROM recommender.buyers WHERE buyer_id = ANY(%s))",
        (sorted(buyers),),
    )
    connection.exec_driver_sql("DELETE FROM recommender.buyers WHERE buyer_id = ANY(%s)", (sorted(buyers),))
    connection.exec_driver_sql(
        "INSERT INTO recommender.tombstones (identity_hash, receipt_id, erased_at) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        [(identity_hash(identity), receipt_id, now) for _, identity in identities],
    )
    return int(signals.rowcount)


def _traces(external_id: str) -> list[bytes]:
    """How an id stands in an event that could not be read. A short one counts only where it is a whole value."""
    value = orjson.dumps(external_id)
    if len(external_id) >= _TELLING_LENGTH:
        return [value[1:-1]]
    numbers = [b":%b%b" % (external_id.encode(), end) for end in (b",", b"}", b"]")]
    return [value, *numbers] if external_id.isdigit() else [value]


def _scrub(connection: sa.Connection, external_ids: Sequence[str]) -> None:
    """Other people's signals may name an erased id: that of a device they shared, or of a former name."""
    connection.exec_driver_sql(
        "UPDATE recommender.signals SET event = event "
        "- CASE WHEN event->>'anonymousId' = ANY(%(ids)s) THEN ARRAY['anonymousId'] ELSE ARRAY[]::text[] END "
        "- CASE WHEN event->>'userId' = ANY(%(ids)s) THEN ARRAY['userId'] ELSE ARRAY[]::text[] END "
        "- CASE WHEN event->>'previousId' = ANY(%(ids)s) THEN ARRAY['previousId'] ELSE ARRAY[]::text[] END "
        "WHERE event->>'anonymousId' = ANY(%(ids)s) OR event->>'previousId' = ANY(%(ids)s) "
        "OR event->>'userId' = ANY(%(ids)s)",
        {"ids": list(external_ids)},
    )


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
