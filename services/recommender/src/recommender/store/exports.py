"""Everything that is kept of one buyer, read for whoever has a right to it: what an erasure takes, and no less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from recommender.domain.identities import Identity
from recommender.store import mentions

_IDENTITIES = """
SELECT i.kind, i.external_id AS id, u.external_id AS linked_to, i.linked_at, g.external_id AS account_id,
    i.account_at, i.traits, i.consent, i.consent_at, i.opted_out_at FROM recommender.identities i
LEFT JOIN recommender.identities u ON u.identity_id = i.linked_to
LEFT JOIN recommender.accounts g ON g.account_id = i.account_id
WHERE i.identity_id = ANY(%(ids)s) ORDER BY i.identity_id
"""
_SIGNALS = """
SELECT at, received_at, kind AS type, asset_id, event FROM recommender.signals
WHERE identity_id = ANY(%(ids)s) ORDER BY at, message_key
"""
_RECOMMENDATIONS = """
SELECT at, recommendation_id, placement, channel, goal, tier, stage, persona, topics, asset_ids
FROM recommender.recommendation_log WHERE identity_id = ANY(%(ids)s) ORDER BY at, recommendation_id
"""
_EMAILS = """
SELECT created_at AS at, send_id, slot, recommendation_id, tier, asset_ids FROM recommender.email_slots
WHERE (identity_kind, external_id) IN (SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[]))
ORDER BY created_at, send_id, slot
"""
_WEBHOOKS = """
SELECT created_at AS at, type, body::jsonb AS event FROM recommender.webhook_events
WHERE buyer_id = ANY(%(buyers)s) ORDER BY created_at, event_id
"""
_UNREADABLE = """
SELECT received_at, code AS reason, event FROM recommender.dead_letters
WHERE EXISTS (SELECT FROM unnest(%(traces)s::bytea[]) AS t WHERE position(t IN event) > 0)
ORDER BY received_at, dead_letter_id
"""


def everything(
    connection: sa.Connection, buyers: Sequence[int], identities: Sequence[tuple[int, Identity]]
) -> dict[str, list[dict[str, Any]]]:
    """By kind: identities (with consent), signals as received, answers, mails, webhooks, unreadable events."""
    names = mentions.names_of(connection, identities)
    values = {
        "ids": [identity_id for identity_id, _ in identities],
        "buyers": list(buyers),
        "kinds": [identity.kind for _, identity in identities],
        "names": [identity.external_id for _, identity in identities],
        "traces": [trace for name in names for trace in mentions.in_bytes(name)],
    }
    asked = {
        "identities": _IDENTITIES,
        "signals": _SIGNALS,
        "recommendations": _RECOMMENDATIONS,
        "emails": _EMAILS,
        "webhooks": _WEBHOOKS,
        "unreadable": _UNREADABLE,
    }
    return {
        name: [_plain(dict(row._mapping)) for row in connection.exec_driver_sql(query, values)]
        for name, query in asked.items()
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Bytes of an unreadable event as text, as far as they are text: a long one was cut."""
    return {
        k: bytes(v).decode(errors="replace") if isinstance(v, bytes | memoryview) else v
        for k, v in row.items()
    }
