"""Identities, buyers and accounts: finding or making them, and applying what events say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from recommender.domain.events import Event
from recommender.domain.identities import (
    DatedTraits,
    Identity,
    consent_rank,
    links_earlier,
    merge_traits,
)


class IdentityGone(Exception):
    """An erasure overtook this transaction: roll back and look again, the tombstone is there by now."""


def identity_hash(identity: Identity) -> bytes:
    """What an erased identity is remembered by, so that a replay cannot bring it back."""
    return hashlib.blake2b(f"{identity.kind}\x00{identity.external_id}".encode(), digest_size=32).digest()


def erased(connection: sa.Connection, wanted: Sequence[Identity]) -> set[Identity]:
    if not connection.exec_driver_sql("SELECT EXISTS (SELECT FROM recommender.tombstones)").scalar_one():
        return set()
    by_hash = {identity_hash(identity): identity for identity in wanted}
    rows = connection.exec_driver_sql(
        "SELECT identity_hash FROM recommender.tombstones WHERE identity_hash = ANY(%s)", (list(by_hash),)
    )
    return {by_hash[bytes(row[0])] for row in rows}


def _select(connection: sa.Connection, wanted: Sequence[Identity]) -> dict[Identity, int]:
    rows = connection.exec_driver_sql(
        "SELECT i.kind, i.external_id, i.identity_id FROM recommender.identities i JOIN "
        "unnest(%(kinds)s::text[], %(ids)s::text[]) AS t(kind, external_id) USING (kind, external_id)",
        {"kinds": [w.kind for w in wanted], "ids": [w.external_id for w in wanted]},
    )
    return {Identity(row[0], row[1]): int(row[2]) for row in rows}


def ensure(connection: sa.Connection, wanted: Sequence[Identity], now: datetime) -> dict[Identity, int]:
    """Find or make these identities (sorted, distinct), each new one with a buyer of its own. → ids."""
    known = _select(connection, wanted)
    missing = [identity for identity in wanted if identity not in known]
    if not missing:
        return known
    if erased(connection, missing):
        # Erased since this request looked: made anew here, they would live on as if nobody had asked.
        raise IdentityGone("an identity was erased while its signals were being stored")
    made = connection.exec_driver_sql(
        "INSERT INTO recommender.buyers (created_at) SELECT %s FROM generate_series(1, %s) RETURNING buyer_id",
        (now, len(missing)),
    )
    buyer_ids = [int(row[0]) for row in made]
    rows = connection.exec_driver_sql(
        "INSERT INTO recommender.identities (kind, external_id, buyer_id) "
        "SELECT * FROM unnest(%(kinds)s::text[], %(ids)s::text[], %(buyers)s::bigint[]) ORDER BY 1, 2 "
        "ON CONFLICT (kind, external_id) DO NOTHING RETURNING buyer_id",
        {
            "kinds": [m.kind for m in missing],
            "ids": [m.external_id for m in missing],
            "buyers": buyer_ids,
        },
    )
    unused = set(buyer_ids) - {int(row[0]) for row in rows}
    if unused:  # another transaction made the same identity a moment before
        connection.exec_driver_sql(
            "DELETE FROM recommender.buyers WHERE buyer_id = ANY(%s)", (sorted(unused),)
        )
    known |= _select(connection, missing)
    if len(known) < len(wanted):
        raise IdentityGone("an identity was erased while its signals were being stored")
    return known


def ensure_accounts(
    connection: sa.Connection, wanted: Mapping[str, DatedTraits], now: datetime
) -> dict[str, int]:
    """Find or make accounts by their external ids; of the traits given the latest win. → ids."""
    if not wanted:
        return {}
    names = sorted(wanted)
    rows = connection.exec_driver_sql(
        "SELECT external_id, account_id FROM recommender.accounts WHERE external_id = ANY(%s)", (names,)
    )
    known = {row[0]: int(row[1]) for row in rows}
    missing = [name for name in names if name not in known]
    if missing:
        connection.exec_driver_sql(
            "INSERT INTO recommender.accounts (external_id, created_at) SELECT name, %(now)s "
            "FROM unnest(%(names)s::text[]) AS name ORDER BY name ON CONFLICT (external_id) DO NOTHING",
            {"names": missing, "now": now},
        )
        rows = connection.exec_driver_sql(
            "SELECT external_id, account_id FROM recommender.accounts WHERE external_id = ANY(%s)", (missing,)
        )
        known |= {row[0]: int(row[1]) for row in rows}
    _merge_account_traits(connection, {name: wanted[name] for name in names if wanted[name]})
    return known


def _merge_account_traits(connection: sa.Connection, said: Mapping[str, DatedTraits]) -> None:
    if not said:
        return
    rows = connection.exec_driver_sql(
        "SELECT external_id, traits FROM recommender.accounts WHERE external_id = ANY(%s) "
        "ORDER BY external_id FOR NO KEY UPDATE",
        (sorted(said),),
    )
    merged = [(orjson.dumps(merge_traits(row[1], said[row[0]])).decode(), row[0]) for row in rows]
    connection.exec_driver_sql(
        "UPDATE recommender.accounts SET traits = %s::jsonb WHERE external_id = %s", merged
    )


@dataclass(slots=True)
class _Row:
    """An identity's facts while they are being merged."""

    identity_id: int
    external_id: str
    buyer_id: int
    linked_user: str | None
    linked_at: datetime | None
    account_id: int | None
    account_name: str | None
    account_at: datetime | None
    traits: dict[str, Any]
    consent: Any
    consent_at: datetime | None
    opted_out_at: datetime | None
    linked_to: int | None = None
    changed: bool = field(default=False)


def _has_facts(event: Event) -> bool:
    return (
        event.call in {"identify", "group", "alias"}
        or event.group_id is not None
        or event.consent is not None
        or event.opted_out
    )


def apply_facts(
    connection: sa.Connection,
    events: Sequence[Event],
    known: Mapping[Identity, int],
    accounts: Mapping[str, int],
) -> set[int]:
    """Merge traits, accounts, consent and links. → buyers that were touched beyond their own signals."""
    telling = [event for event in events if _has_facts(event)]
    if not telling:
        return set()
    touched = sorted(
        {
            known[identity]
            for event in telling
            for identity in (
                Identity("user", event.user_id or ""),
                Identity("anonymous", event.anonymous_id or ""),
                Identity("user", event.previous_id or ""),
                Identity("anonymous", event.previous_id or ""),
            )
            if identity in known
        }
    )
    rows = _lock_rows(connection, touched)
    merges: list[tuple[int, int]] = []
    for event in telling:
        _apply_event(event, rows, known, accounts, merges)
    before = {row.identity_id: row.buyer_id for row in rows.values()}
    _write_rows(connection, [row for row in rows.values() if row.changed])
    return _regroup(connection, rows, before, merges)


def _lock_rows(connection: sa.Connection, ids: Sequence[int]) -> dict[int, _Row]:
    found = connection.exec_driver_sql(
        "SELECT i.identity_id, i.external_id, i.buyer_id, u.external_id, i.linked_at, i.account_id, "
        "g.external_id, i.account_at, i.traits, i.consent, i.consent_at, i.opted_out_at, i.linked_to "
        "FROM recommender.identities i LEFT JOIN recommender.identities u ON u.identity_id = i.linked_to "
        "LEFT JOIN recommender.accounts g ON g.account_id = i.account_id "
        "WHERE i.identity_id = ANY(%s) ORDER BY i.identity_id FOR UPDATE OF i",
        (list(ids),),
    )
    rows = {int(row[0]): _Row(*row) for row in found}
    if len(rows) < len(ids):
        raise IdentityGone("an identity was erased while its signals were being stored")
    return rows


def _apply_event(
    event: Event,
    rows: Mapping[int, _Row],
    known: Mapping[Identity, int],
    accounts: Mapping[str, int],
    merges: list[tuple[int, int]],
) -> None:
    user = rows.get(known.get(Identity("user", event.user_id or ""), 0))
    anonymous = rows.get(known.get(Identity("anonymous", event.anonymous_id or ""), 0))
    subject = user or anonymous
    if subject is None:
        return
    if event.call == "identify" and event.traits:
        at = event.at.timestamp()
        merged = merge_traits(subject.traits, {key: (value, at) for key, value in event.traits.items()})
        subject.traits, subject.changed = merged, True
    # Of two accounts at one moment the name decides: ids depend on the order of arrival.
    if event.group_id is not None and (
        subject.account_at is None
        or (event.at, event.group_id) > (subject.account_at, subject.account_name or "")
    ):
        subject.account_id, subject.account_name = accounts[event.group_id], event.group_id
        subject.account_at, subject.changed = event.at, True
    if event.consent is not None and (
        subject.consent_at is None
        or consent_rank(event.at, event.consent) > consent_rank(subject.consent_at, subject.consent)
    ):
        subject.consent, subject.consent_at, subject.changed = event.consent, event.at, True
    if event.opted_out and (subject.opted_out_at is None or event.at > subject.opted_out_at):
        subject.opted_out_at, subject.changed = event.at, True
    if event.call == "identify" and user is not None and anonymous is not None:
        _link(anonymous, user, event.at)
    if event.call == "alias" and user is not None and event.previous_id is not None:
        previous_anonymous = rows[known[Identity("anonymous", event.previous_id)]]
        previous_user = rows[known[Identity("user", event.previous_id)]]
        _link(previous_anonymous, user, event.at)
        if previous_user is not user:
            merges.append((previous_user.identity_id, user.identity_id))


def _link(anonymous: _Row, user: _Row, at: datetime) -> None:
    if links_earlier(at, user.external_id, anonymous.linked_at, anonymous.linked_user):
        anonymous.linked_to, anonymous.linked_user = user.identity_id, user.external_id
        anonymous.linked_at, anonymous.changed = at, True


def _write_rows(connection: sa.Connection, rows: Sequence[_Row]) -> None:
    if rows:
        connection.exec_driver_sql(
            "UPDATE recommender.identities SET linked_to = %s, linked_at = %s, account_id = %s, account_at = %s, "
            "traits = %s::jsonb, consent = %s::jsonb, consent_at = %s, opted_out_at = %s WHERE identity_id = %s",
            [
                (
                    row.linked_to,
                    row.linked_at,
                    row.account_id,
                    row.account_at,
                    orjson.dumps(row.traits).decode(),
                    None if row.consent is None else orjson.dumps(row.consent).decode(),
                    row.consent_at,
                    row.opted_out_at,
                    row.identity_id,
                )
                for row in rows
            ],
        )


def _regroup(
    connection: sa.Connection,
    rows: Mapping[int, _Row],
    before: Mapping[int, int],
    merges: Sequence[tuple[int, int]],
) -> set[int]:
    """Let links and merges decide which buyer each identity belongs to. → buyers whose log changed."""
    touched = set(before.values())
    if merges or any(row.changed and row.linked_to is not None for row in rows.values()):
        _lock_buyers(connection, list(rows))
    for identity_id, other_id in merges:
        pair = connection.exec_driver_sql(
            "SELECT buyer_id FROM recommender.identities WHERE identity_id = ANY(%s) ORDER BY identity_id",
            ([identity_id, other_id],),
        )
        buyers = sorted({int(row[0]) for row in pair})
        if len(buyers) == 2:
            connection.exec_driver_sql(
                "UPDATE recommender.identities SET buyer_id = %s WHERE buyer_id = %s", tuple(buyers)
            )
            touched |= set(buyers)
    linked = [row.identity_id for row in rows.values() if row.changed and row.linked_to is not None]
    if linked:
        connection.exec_driver_sql(
            "UPDATE recommender.identities i SET buyer_id = u.buyer_id FROM recommender.identities u "
            "WHERE u.identity_id = i.linked_to AND i.identity_id = ANY(%s) AND i.buyer_id <> u.buyer_id",
            (linked,),
        )
    now_in = connection.exec_driver_sql(
        "SELECT DISTINCT buyer_id FROM recommender.identities WHERE identity_id = ANY(%s)", (list(rows),)
    )
    touched |= {int(row[0]) for row in now_in}
    connection.exec_driver_sql(
        "DELETE FROM recommender.buyers b WHERE buyer_id = ANY(%(ids)s) AND NOT EXISTS "
        "(SELECT FROM recommender.identities i WHERE i.buyer_id = b.buyer_id)",
        {"ids": sorted(touched)},
    )
    connection.exec_driver_sql(
        "UPDATE recommender.buyers b SET account_id = (SELECT i.account_id FROM recommender.identities i "
        "JOIN recommender.accounts g USING (account_id) WHERE i.buyer_id = b.buyer_id AND i.account_at IS NOT NULL "
        'ORDER BY i.account_at DESC, g.external_id COLLATE "C" DESC LIMIT 1) WHERE buyer_id = ANY(%(ids)s)',
        {"ids": sorted(touched)},
    )
    return touched


def _lock_buyers(connection: sa.Connection, identity_ids: Sequence[int]) -> None:
    """Lock the buyers of these identities: two merges at once could each move what the other is moving to."""
    locked: set[int] = set()
    while True:
        found = {
            int(row[0])
            for row in connection.exec_driver_sql(
                "SELECT DISTINCT buyer_id FROM recommender.identities WHERE identity_id = ANY(%s)",
                (list(identity_ids),),
            )
        }
        if found <= locked:
            return
        connection.exec_driver_sql(
            "SELECT FROM recommender.buyers WHERE buyer_id = ANY(%s) ORDER BY buyer_id FOR NO KEY UPDATE",
            (sorted(found),),
        )
        locked |= found


def mark_stale(connection: sa.Connection, identity_ids: set[int], buyer_ids: set[int]) -> None:
    """Say that the log of these buyers has grown. Locks keep a merge from moving an identity meanwhile."""
    rows = connection.exec_driver_sql(
        "SELECT buyer_id FROM recommender.identities WHERE identity_id = ANY(%s) ORDER BY identity_id FOR SHARE",
        (sorted(identity_ids),),
    )
    locked = [int(row[0]) for row in rows]
    if len(locked) != len(identity_ids):
        raise IdentityGone("an identity was erased while its signals were being stored")
    touched = sorted(set(locked) | buyer_ids)
    connection.exec_driver_sql(
        "UPDATE recommender.buyers b SET version = b.version + 1, stale = true FROM "
        "(SELECT buyer_id FROM recommender.buyers WHERE buyer_id = ANY(%s) ORDER BY buyer_id FOR NO KEY UPDATE) l "
        "WHERE b.buyer_id = l.buyer_id",
        (touched,),
    )
