"""What each slot of each mail showed, by send, recipient and slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from recommender.domain.identities import Identity
from recommender.store import identities


@dataclass(frozen=True, slots=True)
class SlotKey:
    send_id: str
    recipient: Identity
    slot: str

    @property
    def values(self) -> tuple[str, str, str, str]:
        return self.send_id, self.recipient.kind, self.recipient.external_id, self.slot


@dataclass(frozen=True, slots=True)
class StoredSlot:
    recommendation_id: str
    tier: str
    asset_ids: tuple[str, ...]


_KEY = "send_id = %s AND identity_kind = %s AND external_id = %s AND slot = %s"


def find(connection: sa.Connection, key: SlotKey) -> StoredSlot | None:
    row = connection.exec_driver_sql(
        f"SELECT recommendation_id, tier, asset_ids FROM recommender.email_slots WHERE {_KEY}", key.values
    ).one_or_none()
    return None if row is None else StoredSlot(row[0], row[1], tuple(row[2]))


def keep(connection: sa.Connection, key: SlotKey, slot: StoredSlot, now: datetime) -> StoredSlot:
    """Store what was chosen, unless another request was first. → what is stored, of an erased recipient nothing."""
    if identities.erased(connection, [key.recipient]):
        return slot
    connection.exec_driver_sql(
        "INSERT INTO recommender.email_slots (send_id, identity_kind, external_id, slot, recommendation_id, "
        "tier, asset_ids, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (*key.values, slot.recommendation_id, slot.tier, list(slot.asset_ids), now),
    )
    return find(connection, key) or slot


def change(connection: sa.Connection, key: SlotKey, asset_ids: Sequence[str]) -> None:
    connection.exec_driver_sql(
        f"UPDATE recommender.email_slots SET asset_ids = %s WHERE {_KEY}", (list(asset_ids), *key.values)
    )


def family(connection: sa.Connection, asset_id: str) -> list[str]:
    """Living assets that are the same content in another form, also where `asset_id` itself was deleted."""
    rows = connection.exec_driver_sql(
        "WITH names AS (SELECT %(id)s::text AS name UNION SELECT equivalent_to FROM recommender.assets "
        "WHERE asset_id = %(id)s AND equivalent_to IS NOT NULL) "
        "SELECT asset_id FROM recommender.assets WHERE deleted_at IS NULL AND asset_id <> %(id)s "
        "AND (asset_id IN (SELECT name FROM names) OR equivalent_to IN (SELECT name FROM names)) "
        "ORDER BY asset_id",
        {"id": asset_id},
    )
    return [str(row[0]) for row in rows]


def accounts_of(connection: sa.Connection, recipients: Sequence[Identity]) -> dict[Identity, str]:
    """The account that the log put each of these in; who is unknown or in none is left out."""
    rows = connection.exec_driver_sql(
        "SELECT i.kind, i.external_id, a.external_id FROM recommender.identities i "
        "JOIN recommender.buyers b USING (buyer_id) JOIN recommender.accounts a ON a.account_id = b.account_id "
        "WHERE (i.kind, i.external_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([one.kind for one in recipients], [one.external_id for one in recipients]),
    )
    return {Identity(kind, external_id): str(account) for kind, external_id, account in rows}


def forget(connection: sa.Connection, recipients: Sequence[Identity]) -> None:
    """Part of an erasure."""
    for recipient in recipients:
        connection.exec_driver_sql(
            "DELETE FROM recommender.email_slots WHERE identity_kind = %s AND external_id = %s",
            (recipient.kind, recipient.external_id),
        )
