"""What events say of who is who: links, merges, accounts, traits and consent, applied in any order alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from recommender.domain.events import Event
from recommender.domain.identities import Identity, consent_rank, links_earlier, merge_traits
from recommender.store.identities import UNPROVEN, IdentityGone


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
    # Whom it was linked to by a claim that did not last does not keep it from whom it belongs to.
    lasting = anonymous.linked_user is None or not anonymous.linked_user.startswith(UNPROVEN)
    known_at = anonymous.linked_at if lasting else None
    if links_earlier(at, user.external_id, known_at, anonymous.linked_user):
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
