"""What a browser says of who it is: believed of nobody known, and only from who said it first.

A publishable key stands in every page, so whoever holds it could name any user. Such a request is believed
when the user is nobody yet, or was only ever claimed by the same anonymous id. Of anybody else, and of accounts
alike, the claim is set aside: the signal is kept, as the anonymous buyer's own. Once a server vouches for an id,
what was claimed under it goes on under another name (`identities.ensure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from recommender.domain.events import Event
from recommender.domain.identities import Identity
from recommender.store import identities


@dataclass(frozen=True, slots=True)
class Settled:
    """Events as far as they are believed, and whose claims made the identities and accounts they name."""

    events: Sequence[Event]
    users: Mapping[Identity, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)


def settle(connection: sa.Connection, events: Sequence[Event]) -> Settled:
    """Look at the claims of untrusted events; without such events this costs nothing."""
    if all(event.trusted for event in events):
        return Settled(events)
    untrusted = [event for event in events if not event.trusted]
    users = sorted({name for event in untrusted for name in (event.user_id, event.previous_id) if name})
    accounts = sorted({event.group_id for event in untrusted if event.group_id is not None})
    held_users, held_accounts = identities.claimants(connection, users, accounts)
    for event in events:  # what a trusted event of the same request names is known
        if event.trusted:
            held_users |= {name: None for name in (event.user_id, event.previous_id) if name}
            held_accounts |= {name: None for name in (event.group_id,) if name}
    believed = [e if e.trusted else _believed(e, held_users, held_accounts) for e in events]
    return Settled(
        believed,
        {Identity("user", name): by for name, by in held_users.items() if by is not None and name in users},
        {name: by for name, by in held_accounts.items() if by is not None and name in accounts},
    )


def _believed(event: Event, users: dict[str, str | None], accounts: dict[str, str | None]) -> Event:
    """The event without what it may not say; a first claim is noted in `users` and `accounts`."""
    claimant = event.anonymous_id
    if claimant is None:  # reading the event made sure that there is one wherever a user is named
        return event._replace(user_id=None, previous_id=None, group_id=None)
    user, previous, group = event.user_id, event.previous_id, event.group_id
    if user is not None and users.setdefault(user, claimant) != claimant:
        user = None
    if previous is not None and (user is None or users.setdefault(previous, claimant) != claimant):
        previous = None
    if group is not None and accounts.setdefault(group, claimant) != claimant:
        group = None
    return event._replace(user_id=user, previous_id=previous, group_id=group)
