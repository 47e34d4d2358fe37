"""Identities, buyers and accounts: finding them, or making them with who claimed them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
import sqlalchemy as sa

from recommender.domain.identities import DatedTraits, Identity, merge_traits

# No client can send it: ids hold printable characters only.
UNPROVEN = "\x01unproven:"


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


def _select(connection: sa.Connection, wanted: Sequence[Identity]) -> dict[Identity, tuple[int, str | None]]:
    """→ (identity id, who claimed it without a proof)."""
    rows = connection.exec_driver_sql(
        "SELECT i.kind, i.external_id, i.identity_id, i.claimed_by FROM recommender.identities i JOIN "
        "unnest(%(kinds)s::text[], %(ids)s::text[]) AS t(kind, external_id) USING (kind, external_id)",
        {"kinds": [w.kind for w in wanted], "ids": [w.external_id for w in wanted]},
    )
    return {Identity(row[0], row[1]): (int(row[2]), row[3]) for row in rows}


def ensure(
    connection: sa.Connection, wanted: Sequence[Identity], now: datetime, claims: Mapping[Identity, str]
) -> dict[Identity, int]:
    """Find or make these identities (sorted, distinct), each new one with a buyer of its own. → ids.

    `claims` says by whom an identity is claimed without a proof; any other is vouched for, and takes the place
    of one that was only claimed.
    """
    found = _select(connection, wanted)
    taken = [one for one, (_, claimed_by) in found.items() if claimed_by is not None and one not in claims]
    if taken:
        _set_aside(connection, [found.pop(one)[0] for one in taken])
    _require_same_claims({one: claimed_by for one, (_, claimed_by) in found.items()}, claims)
    known = {one: identity_id for one, (identity_id, _) in found.items()}
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
        "INSERT INTO recommender.identities (kind, external_id, buyer_id, claimed_by) "
        "SELECT * FROM unnest(%(kinds)s::text[], %(ids)s::text[], %(buyers)s::bigint[], %(claims)s::text[]) "
        "ORDER BY 1, 2 ON CONFLICT (kind, external_id) DO NOTHING RETURNING buyer_id",
        {
            "kinds": [m.kind for m in missing],
            "ids": [m.external_id for m in missing],
            "buyers": buyer_ids,
            "claims": [claims.get(m) for m in missing],
        },
    )
    unused = set(buyer_ids) - {int(row[0]) for row in rows}
    if unused:  # another transaction made the same identity a moment before
        connection.exec_driver_sql(
            "DELETE FROM recommender.buyers WHERE buyer_id = ANY(%s)", (sorted(unused),)
        )
    found = _select(connection, missing)
    _require_same_claims({one: claimed_by for one, (_, claimed_by) in found.items()}, claims)
    known |= {one: identity_id for one, (identity_id, _) in found.items()}
    if len(known) < len(wanted):
        raise IdentityGone("an identity was erased while its signals were being stored")
    return known


def _require_same_claims(found: Mapping[Identity, str | None], claims: Mapping[Identity, str]) -> None:
    """Somebody else may have made an identity since the claims were looked at: then look again."""
    if any(found[one] != claims.get(one) for one in found if one.kind == "user"):
        raise IdentityGone("an identity was claimed while its signals were being stored")


def _set_aside(connection: sa.Connection, identity_ids: Sequence[int]) -> None:
    """Take a name from identities that were only claimed; they keep their signals under another one."""
    connection.exec_driver_sql(
        "UPDATE recommender.identities SET kind = 'anonymous', claimed_id = external_id, claimed_by = NULL, "
        "external_id = %s || identity_id WHERE identity_id = ANY(%s)",
        (UNPROVEN, sorted(identity_ids)),
    )


def ensure_accounts(
    connection: sa.Connection,
    wanted: Mapping[str, DatedTraits],
    now: datetime,
    claims: Mapping[str, str],
) -> dict[str, int]:
    """Find or make accounts by their external ids; of the traits given the latest win. → ids.

    `claims` as for `ensure`, by the account's name.
    """
    if not wanted:
        return {}
    names = sorted(wanted)
    found = _select_accounts(connection, names)
    taken = [name for name, (_, claimed_by) in found.items() if claimed_by is not None and name not in claims]
    if taken:
        connection.exec_driver_sql(
            "UPDATE recommender.accounts SET claimed_id = external_id, claimed_by = NULL, "
            "external_id = %s || account_id WHERE account_id = ANY(%s)",
            (
                UNPROVEN,
                sorted(found.pop(name)[0] for name in taken),
            ),
        )
    missing = [name for name in names if name not in found]
    if missing:
        connection.exec_driver_sql(
            "INSERT INTO recommender.accounts (external_id, created_at, claimed_by) SELECT name, %(now)s, by "
            "FROM unnest(%(names)s::text[], %(claims)s::text[]) AS t(name, by) ORDER BY name "
            "ON CONFLICT (external_id) DO NOTHING",
            {"names": missing, "now": now, "claims": [claims.get(name) for name in missing]},
        )
        found |= _select_accounts(connection, missing)
    if any(claimed_by != claims.get(name) for name, (_, claimed_by) in found.items()):
        raise IdentityGone("an account was claimed while its signals were being stored")
    _merge_account_traits(connection, {name: wanted[name] for name in names if wanted[name]})
    return {name: account_id for name, (account_id, _) in found.items()}


def _select_accounts(connection: sa.Connection, names: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    rows = connection.exec_driver_sql(
        "SELECT external_id, account_id, claimed_by FROM recommender.accounts WHERE external_id = ANY(%s)",
        (list(names),),
    )
    return {row[0]: (int(row[1]), row[2]) for row in rows}


def claimants(
    connection: sa.Connection, users: Sequence[str], accounts: Sequence[str]
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """→ (user id → who claimed it, account → who claimed it), None for those that a server vouched for."""
    found_users = _select(connection, [Identity("user", user) for user in users]) if users else {}
    found_accounts = _select_accounts(connection, accounts) if accounts else {}
    return (
        {one.external_id: claimed_by for one, (_, claimed_by) in found_users.items()},
        {name: claimed_by for name, (_, claimed_by) in found_accounts.items()},
    )


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
