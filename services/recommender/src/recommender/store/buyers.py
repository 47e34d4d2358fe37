"""Reading buyers and accounts: who is asked about, their folded state, and their part of the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from recommender.domain.identities import Identity, plain_traits
from recommender.numeric.fold_state import LoggedSignal

# Folding replays at most so many signals, the newest: a buyer with more is a machine or a shared account.
MOST_SIGNALS = 20_000
# An account's estimate reads its most recently active people.
MOST_MEMBERS = 200


@dataclass(frozen=True, slots=True)
class BuyerRow:
    """One buyer as stored; `state` is None when it was never folded, or by other rules (`fingerprint`)."""

    buyer_id: int
    account_id: int | None
    version: int
    state: bytes | None
    state_version: int | None
    due_at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Whether the state is of the newest log, and no signal dated ahead has come about since."""
        due = self.due_at is not None and self.due_at <= now
        return self.state is not None and self.state_version == self.version and not due


@dataclass(frozen=True, slots=True)
class IdentityRow:
    identity_id: int
    kind: str
    external_id: str
    traits: dict[str, Any]
    consent: dict[str, Any] | None
    consent_at: datetime | None
    opted_out_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountRow:
    account_id: int
    external_id: str
    traits: dict[str, Any]


BUYER_COLUMNS = "b.buyer_id, b.account_id, b.version, p.state, p.version, p.due_at"
JOIN_PROFILE = (
    "LEFT JOIN recommender.profiles p ON p.buyer_id = b.buyer_id AND p.fingerprint = %(fingerprint)s"
)


def buyer_of(row: Sequence[Any]) -> BuyerRow:
    state = None if row[3] is None else bytes(row[3])
    return BuyerRow(row[0], row[1], row[2], state, row[4], row[5])


def find_buyer(connection: sa.Connection, identity: Identity, fingerprint: str) -> BuyerRow | None:
    row = connection.exec_driver_sql(
        f"SELECT {BUYER_COLUMNS} FROM recommender.identities i JOIN recommender.buyers b USING (buyer_id) "
        f"{JOIN_PROFILE} WHERE i.kind = %(kind)s AND i.external_id = %(external_id)s",
        {"kind": identity.kind, "external_id": identity.external_id, "fingerprint": fingerprint},
    ).one_or_none()
    return None if row is None else buyer_of(row)


def members(connection: sa.Connection, account_id: int, fingerprint: str) -> list[BuyerRow]:
    """The account's buyers, those with the newest signals first."""
    rows = connection.exec_driver_sql(
        f"SELECT {BUYER_COLUMNS} FROM recommender.buyers b {JOIN_PROFILE} WHERE b.account_id = %(account)s "
        f"ORDER BY p.folded_at DESC NULLS FIRST, b.buyer_id LIMIT {MOST_MEMBERS}",
        {"account": account_id, "fingerprint": fingerprint},
    )
    return [buyer_of(row) for row in rows]


def stale_buyers(connection: sa.Connection, limit: int, now: datetime) -> list[int]:
    """Buyers whose log has grown, and those with signals that were dated ahead and have come about."""
    rows = connection.exec_driver_sql(
        "(SELECT buyer_id FROM recommender.buyers WHERE stale LIMIT %(limit)s) UNION "
        "(SELECT buyer_id FROM recommender.profiles WHERE due_at <= %(now)s LIMIT %(limit)s) LIMIT %(limit)s",
        {"limit": limit, "now": now},
    )
    return [int(row[0]) for row in rows]


def outdated_buyers(connection: sa.Connection, fingerprint: str, limit: int) -> list[int]:
    """Buyers whose state was folded by other rules, whether or not their log has grown."""
    rows = connection.exec_driver_sql(
        "SELECT buyer_id FROM recommender.profiles WHERE fingerprint <> %s LIMIT %s", (fingerprint, limit)
    )
    return [int(row[0]) for row in rows]


def recently_active(connection: sa.Connection, limit: int, fingerprint: str) -> list[BuyerRow]:
    """Buyers with a folded state, those with the newest signals first."""
    rows = connection.exec_driver_sql(
        f"SELECT {BUYER_COLUMNS} FROM recommender.profiles p JOIN recommender.buyers b USING (buyer_id) "
        "WHERE p.fingerprint = %(fingerprint)s ORDER BY p.last_at DESC NULLS LAST LIMIT %(limit)s",
        {"fingerprint": fingerprint, "limit": limit},
    )
    return [buyer_of(row) for row in rows]


def profile_count(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM recommender.profiles").scalar_one())


def buyer_rows(connection: sa.Connection, ids: Sequence[int], fingerprint: str) -> list[BuyerRow]:
    rows = connection.exec_driver_sql(
        f"SELECT {BUYER_COLUMNS} FROM recommender.buyers b {JOIN_PROFILE} WHERE b.buyer_id = ANY(%(ids)s)",
        {"ids": list(ids), "fingerprint": fingerprint},
    )
    return [buyer_of(row) for row in rows]


IDENTITY_COLUMNS = (
    "i.buyer_id, i.identity_id, i.kind, i.external_id, i.traits, i.consent, i.consent_at, i.opted_out_at"
)


def buyer_identities(connection: sa.Connection, buyer_ids: Sequence[int]) -> dict[int, list[IdentityRow]]:
    rows = connection.exec_driver_sql(
        f"SELECT {IDENTITY_COLUMNS} FROM recommender.identities i "
        "WHERE i.buyer_id = ANY(%s) ORDER BY i.kind DESC, i.identity_id",
        (list(buyer_ids),),
    )
    return identities_of(rows)


def identities_of(rows: Iterable[Sequence[Any]]) -> dict[int, list[IdentityRow]]:
    """Rows of `IDENTITY_COLUMNS` by buyer, in their order."""
    found: dict[int, list[IdentityRow]] = {}
    for row in rows:
        found.setdefault(int(row[0]), []).append(IdentityRow(*row[1:]))
    return found


_LOG = f"""
SELECT b.buyer_id, extract(epoch FROM s.at)::float8, s.kind, s.asset_id, s.weight::float8, a.type
FROM unnest(%(ids)s::bigint[]) AS b(buyer_id)
CROSS JOIN LATERAL (
    SELECT s.at, s.kind, s.asset_id, s.weight FROM recommender.signals s
    WHERE s.identity_id = ANY(ARRAY(SELECT i.identity_id FROM recommender.identities i
                                    WHERE i.buyer_id = b.buyer_id))
      AND s.account_id IS NULL
    ORDER BY s.at DESC, s.message_key LIMIT {MOST_SIGNALS}
) s
LEFT JOIN recommender.assets a ON a.asset_id = s.asset_id
"""


def logged_signals(connection: sa.Connection, buyer_ids: Sequence[int]) -> dict[int, list[LoggedSignal]]:
    """The log of each buyer; what concerns the whole account is left to `account_outcomes`."""
    found: dict[int, list[LoggedSignal]] = {buyer_id: [] for buyer_id in buyer_ids}
    for row in connection.exec_driver_sql(_LOG, {"ids": list(buyer_ids)}):
        found[int(row[0])].append(LoggedSignal(row[1], row[2], row[3], row[4], row[5]))
    return found


def account_outcomes(connection: sa.Connection, account_id: int) -> list[LoggedSignal]:
    """What the sales system reported of this account: opportunities opened, won and lost."""
    rows = connection.exec_driver_sql(
        "SELECT extract(epoch FROM at)::float8, kind, weight::float8 FROM recommender.signals "
        "WHERE account_id = %s ORDER BY at DESC LIMIT 500",
        (account_id,),
    )
    return [LoggedSignal(row[0], row[1], None, row[2], None) for row in rows]


class FoldedState(NamedTuple):
    """A buyer's state, the version of the log that it was folded at, and the time of the last signal in it.

    `due_at` is when it must be folded anew: the time of the first signal that is dated ahead.
    """

    buyer_id: int
    version: int
    state: bytes
    last_at: datetime | None
    due_at: datetime | None = None


def save_states(
    connection: sa.Connection, folded: Sequence[FoldedState], fingerprint: str, at: datetime
) -> None:
    """Keep folded states, unless newer ones are there already; in the order of buyers, as others lock them."""
    rows = [
        {
            "buyer": one.buyer_id,
            "version": one.version,
            "fingerprint": fingerprint,
            "state": one.state,
            "at": at,
            "last_at": one.last_at,
            "due_at": one.due_at,
        }
        for one in sorted(folded, key=lambda one: one.buyer_id)
    ]
    connection.exec_driver_sql(
        "INSERT INTO recommender.profiles AS p "
        "(buyer_id, version, fingerprint, state, folded_at, last_at, due_at) "
        "SELECT %(buyer)s, %(version)s, %(fingerprint)s, %(state)s, %(at)s, %(last_at)s, %(due_at)s WHERE EXISTS "
        "(SELECT FROM recommender.buyers WHERE buyer_id = %(buyer)s) "
        "ON CONFLICT (buyer_id) DO UPDATE SET version = excluded.version, fingerprint = excluded.fingerprint, "
        "state = excluded.state, folded_at = excluded.folded_at, last_at = excluded.last_at, "
        "due_at = excluded.due_at WHERE p.version < excluded.version OR p.fingerprint <> excluded.fingerprint "
        "OR (p.version = excluded.version AND p.due_at < coalesce(excluded.due_at, 'infinity'))",
        rows,
    )
    connection.exec_driver_sql(
        "UPDATE recommender.buyers SET stale = false "
        "WHERE buyer_id = %(buyer)s AND version = %(version)s AND stale",
        rows,
    )


def find_account(connection: sa.Connection, external_id: str) -> AccountRow | None:
    row = connection.exec_driver_sql(
        "SELECT account_id, external_id, traits FROM recommender.accounts WHERE external_id = %s",
        (external_id,),
    ).one_or_none()
    return None if row is None else AccountRow(row[0], row[1], plain_traits([row[2]]))


def account_by_id(connection: sa.Connection, account_id: int) -> AccountRow:
    row = connection.exec_driver_sql(
        "SELECT account_id, external_id, traits FROM recommender.accounts WHERE account_id = %s",
        (account_id,),
    ).one()
    return AccountRow(row[0], row[1], plain_traits([row[2]]))


def recent_events(
    connection: sa.Connection, buyer_id: int, limit: int
) -> list[tuple[datetime, str, str | None, str | None, str | None]]:
    """→ (at, kind, asset id, asset title, asset type), newest first."""
    rows = connection.exec_driver_sql(
        "SELECT s.at, s.kind, s.asset_id, nullif(a.title, ''), a.type FROM recommender.signals s "
        "LEFT JOIN recommender.assets a ON a.asset_id = s.asset_id WHERE s.identity_id IN "
        "(SELECT identity_id FROM recommender.identities WHERE buyer_id = %s) ORDER BY s.at DESC LIMIT %s",
        (buyer_id, limit),
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
