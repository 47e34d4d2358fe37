"""The signal log: one transaction takes a request's events in, once each, and says what was new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from recommender.domain.events import OUTCOMES, Event
from recommender.domain.identities import Identity, merge_traits
from recommender.store import identities
from recommender.store.assets import asset_ids_by_url


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that made no sense, kept with the reason."""

    message_key: UUID
    received_at: datetime
    kind: str
    code: str
    detail: str
    event: bytes


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    accepted: int
    duplicates: int
    refused: int  # of erased buyers


def identity_of(event: Event) -> Identity:
    """The identity a signal is kept under: the known one where both are given."""
    if event.user_id is not None:
        return Identity("user", event.user_id)
    return Identity("anonymous", event.anonymous_id or "")


def record(connection: sa.Connection, events: Sequence[Event], now: datetime) -> RecordOutcome:
    """Append what is new, merge who is who, mark the buyers' profiles stale. The caller commits."""
    fresh = _take_keys(connection, events)
    duplicates = len(events) - len(fresh)
    erased = identities.erased(connection, _all_identities(fresh))
    kept = [e for e in fresh if not erased.intersection(_identities_of(e))] if erased else fresh
    if not kept:
        return RecordOutcome(0, duplicates, len(fresh))
    known = identities.ensure(connection, _all_identities(kept), now)
    accounts = identities.ensure_accounts(connection, _account_traits(kept), now)
    moved = identities.apply_facts(connection, kept, known, accounts)
    _append(connection, kept, known, accounts)
    identities.mark_stale(connection, {known[identity_of(e)] for e in kept}, moved)
    return RecordOutcome(len(kept), duplicates, len(fresh) - len(kept))


def _account_traits(events: Sequence[Event]) -> dict[str, dict[str, tuple[Any, float]]]:
    """Every account that the events name, with the dated traits that `group` calls give it."""
    said: dict[str, dict[str, tuple[Any, float]]] = {}
    for event in events:
        if event.group_id is not None:
            at = event.at.timestamp()
            given = event.traits if event.call == "group" else {}
            dated = {key: (value, at) for key, value in given.items()}
            said[event.group_id] = merge_traits(said.get(event.group_id, {}), dated)
    return said


def _identities_of(event: Event) -> list[Identity]:
    found: list[Identity] = []
    if event.user_id is not None:
        found.append(Identity("user", event.user_id))
    if event.anonymous_id is not None:
        found.append(Identity("anonymous", event.anonymous_id))
    if event.call == "alias" and event.previous_id is not None:
        # Segment lets `previousId` be either; taking both makes the answer the same in any order.
        found += [Identity("user", event.previous_id), Identity("anonymous", event.previous_id)]
    return found


def _all_identities(events: Sequence[Event]) -> list[Identity]:
    return sorted({identity for event in events for identity in _identities_of(event)})


def _take_keys(connection: sa.Connection, events: Sequence[Event]) -> list[Event]:
    """Claim each message id; the ones claimed before, here or by another replica, drop out."""
    first = {event.message_key: event for event in reversed(events)}
    rows = connection.exec_driver_sql(
        "INSERT INTO recommender.signal_keys (message_key, received_at) "
        "SELECT key, %(at)s FROM unnest(%(keys)s::uuid[]) AS key ORDER BY key "
        "ON CONFLICT DO NOTHING RETURNING message_key",
        {"keys": list(first), "at": events[0].received_at},
    )
    claimed = {row[0] for row in rows}
    return [e for e in events if e.message_key in claimed and first[e.message_key] is e]


def _append(
    connection: sa.Connection,
    events: Sequence[Event],
    known: Mapping[Identity, int],
    accounts: Mapping[str, int],
) -> None:
    pages = sorted({e.page for e in events if e.page is not None and e.asset_id is None})
    by_page = asset_ids_by_url(connection, pages)
    asset_ids = [e.asset_id or (by_page.get(e.page) if e.page is not None else None) for e in events]
    kinds = [
        "view" if e.kind == "page" and asset_id is not None else e.kind
        for e, asset_id in zip(events, asset_ids, strict=True)
    ]
    connection.exec_driver_sql(
        "INSERT INTO recommender.signals "
        "(at, received_at, identity_id, account_id, kind, asset_id, weight, message_key, event) "
        "SELECT at, %(received)s, identity_id, account_id, kind, asset_id, weight, message_key, event::jsonb FROM "
        "unnest(%(at)s::timestamptz[], %(identity)s::bigint[], %(account)s::bigint[], %(kind)s::text[], "
        "%(asset)s::text[], %(weight)s::real[], %(key)s::uuid[], %(event)s::text[]) "
        "AS t(at, identity_id, account_id, kind, asset_id, weight, message_key, event)",
        {
            "received": events[0].received_at,
            "at": [e.at for e in events],
            "identity": [known[identity_of(e)] for e in events],
            "account": [
                accounts[e.group_id] if e.kind in OUTCOMES and e.group_id is not None else None
                for e in events
            ],
            "kind": kinds,
            "asset": asset_ids,
            "weight": [e.weight for e in events],
            "key": [e.message_key for e in events],
            "event": [e.raw.decode() for e in events],
        },
    )


def keep_dead_letters(connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
    if letters:
        connection.exec_driver_sql(
            "INSERT INTO recommender.dead_letters (message_key, received_at, kind, code, detail, event) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (message_key) DO NOTHING",
            [(d.message_key, d.received_at, d.kind, d.code, d.detail, d.event) for d in letters],
        )
