"""What subscribers were last told, and where the truth has moved on since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

_LOCK = 0x46776562  # "Fweb": one replica at a time looks for what has changed
# A fold may be committed later than its time says.
_OVERLAP = timedelta(seconds=60)

_READY = """
FROM recommender.assets a JOIN recommender.embeddings e ON e.asset_id = a.asset_id AND e.text_hash = a.text_hash
    AND e.model_id = (SELECT live_model FROM recommender.catalogue_head)
WHERE a.deleted_at IS NULL AND a.status = 'approved' AND (a.publish_at IS NULL OR a.publish_at <= %(now)s)
    AND (a.expires_at IS NULL OR a.expires_at > %(now)s)
"""


@dataclass(frozen=True, slots=True)
class ReadyAsset:
    asset_id: str
    title: str
    url: str
    type: str
    revision: int
    text_hash: str


@dataclass(frozen=True, slots=True)
class ChangedBuyer:
    """A buyer whose log has grown; `told` is what the last mark says, None where there is none."""

    buyer_id: int
    version: int
    created_at: datetime
    folded_at: datetime
    told: dict[str, Any] | None
    identity_kind: str
    external_id: str
    user_id: str | None


def try_lock(connection: sa.Connection) -> bool:
    """Until the transaction ends."""
    return bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).scalar_one())


def watched_since(connection: sa.Connection, wanted: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Since when each wanted type is watched; what nobody wants any more is forgotten."""
    types = sorted(wanted)
    connection.exec_driver_sql("DELETE FROM recommender.webhook_watches WHERE type <> ALL(%s)", (types,))
    connection.exec_driver_sql(
        "INSERT INTO recommender.webhook_watches (type, since) SELECT type, %s FROM unnest(%s::text[]) AS type "
        "ON CONFLICT DO NOTHING",
        (now, types),
    )
    rows = connection.exec_driver_sql("SELECT type, since FROM recommender.webhook_watches")
    return {str(row[0]): row[1] for row in rows}


def seed_assets(connection: sa.Connection, watch: str, now: datetime) -> None:
    """What is ready when the watching begins is noted and not told."""
    begun = connection.exec_driver_sql(
        "UPDATE recommender.webhook_watches SET seeded = true WHERE type = %s AND NOT seeded", (watch,)
    ).rowcount
    if not begun:
        return
    connection.exec_driver_sql("DELETE FROM recommender.webhook_marks WHERE subject = 'asset'")
    connection.exec_driver_sql(
        "INSERT INTO recommender.webhook_marks (subject, subject_id, told, checked_at) "
        f"SELECT 'asset', a.asset_id, jsonb_build_object('text', encode(a.text_hash, 'hex')), %(now)s {_READY}",
        {"now": now},
    )


def newly_ready(connection: sa.Connection, now: datetime, limit: int) -> list[ReadyAsset]:
    """Approved assets with a vector that nobody was told of; those that went are forgotten."""
    connection.exec_driver_sql(
        "DELETE FROM recommender.webhook_marks m WHERE m.subject = 'asset' AND NOT EXISTS "
        "(SELECT FROM recommender.assets a WHERE a.asset_id = m.subject_id AND a.deleted_at IS NULL "
        "AND a.status = 'approved')"
    )
    rows = connection.exec_driver_sql(
        "SELECT a.asset_id, a.title, a.url, a.type, a.revision, encode(a.text_hash, 'hex') "
        f"{_READY} AND NOT EXISTS (SELECT FROM recommender.webhook_marks m WHERE m.subject = 'asset' "
        "AND m.subject_id = a.asset_id AND m.told->>'text' = encode(a.text_hash, 'hex')) "
        "ORDER BY a.revision LIMIT %(limit)s",
        {"now": now, "limit": limit},
    )
    return [ReadyAsset(*row) for row in rows]


def changed_buyers(connection: sa.Connection, since: datetime, limit: int) -> list[ChangedBuyer]:
    """Buyers folded since then whose mark is of an older log, the longest waiting first."""
    rows = connection.exec_driver_sql(
        "SELECT b.buyer_id, p.version, b.created_at, p.folded_at, m.told, i.kind, i.external_id, "
        "CASE WHEN i.kind = 'user' THEN i.external_id END FROM recommender.profiles p "
        "JOIN recommender.buyers b USING (buyer_id) "
        "LEFT JOIN recommender.webhook_marks m ON m.subject = 'buyer' AND m.subject_id = b.buyer_id::text "
        "JOIN LATERAL (SELECT kind, external_id FROM recommender.identities WHERE buyer_id = b.buyer_id "
        "ORDER BY kind DESC, identity_id LIMIT 1) i ON true "
        "WHERE p.folded_at >= %(since)s AND (m.told IS NULL OR (m.told->>'version')::bigint < p.version) "
        "ORDER BY p.folded_at LIMIT %(limit)s",
        {"since": since - _OVERLAP, "limit": limit},
    )
    return [ChangedBuyer(*row) for row in rows]


def silent_buyers(connection: sa.Connection, before: datetime, limit: int) -> list[ChangedBuyer]:
    """Buyers last looked at before then: silence moves stages too."""
    rows = connection.exec_driver_sql(
        "SELECT b.buyer_id, p.version, b.created_at, p.folded_at, m.told, i.kind, i.external_id, "
        "CASE WHEN i.kind = 'user' THEN i.external_id END FROM recommender.webhook_marks m "
        "JOIN recommender.buyers b ON b.buyer_id = m.subject_id::bigint "
        "JOIN recommender.profiles p USING (buyer_id) "
        "JOIN LATERAL (SELECT kind, external_id FROM recommender.identities WHERE buyer_id = b.buyer_id "
        "ORDER BY kind DESC, identity_id LIMIT 1) i ON true "
        "WHERE m.subject = 'buyer' AND m.checked_at < %(before)s ORDER BY m.checked_at LIMIT %(limit)s",
        {"before": before, "limit": limit},
    )
    return [ChangedBuyer(*row) for row in rows]


def told_of(connection: sa.Connection, subject: str, subject_id: str) -> dict[str, Any] | None:
    told: dict[str, Any] | None = connection.exec_driver_sql(
        "SELECT told FROM recommender.webhook_marks WHERE subject = %s AND subject_id = %s",
        (subject, subject_id),
    ).scalar_one_or_none()
    return told


def mark(
    connection: sa.Connection, subject: str, told: Sequence[tuple[str, dict[str, Any]]], now: datetime
) -> None:
    for subject_id, what in sorted(told, key=lambda one: one[0]):
        connection.exec_driver_sql(
            "INSERT INTO recommender.webhook_marks (subject, subject_id, told, checked_at) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (subject, subject_id) "
            "DO UPDATE SET told = excluded.told, checked_at = excluded.checked_at",
            (subject, subject_id, orjson.dumps(what).decode(), now),
        )
