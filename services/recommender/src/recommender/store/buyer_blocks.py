"""Reading what is known of many buyers at once: as many questions to the database for a block as for one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from recommender.domain.identities import Identity, plain_traits
from recommender.numeric.fold_state import LoggedSignal
from recommender.store.buyers import (
    BUYER_COLUMNS,
    JOIN_PROFILE,
    MOST_MEMBERS,
    AccountRow,
    BuyerRow,
    buyer_of,
)

# As many as `store.buyers.account_outcomes` reads for one account.
_MOST_OUTCOMES = 500


def find_buyers(
    connection: sa.Connection, wanted: Sequence[Identity], fingerprint: str
) -> dict[Identity, BuyerRow]:
    """The buyers with these identities; those nobody has seen are left out."""
    if not wanted:
        return {}
    rows = connection.exec_driver_sql(
        f"SELECT i.kind, i.external_id, {BUYER_COLUMNS} FROM unnest(%(kinds)s::text[], %(ids)s::text[]) "
        "AS t(kind, external_id) JOIN recommender.identities i USING (kind, external_id) "
        f"JOIN recommender.buyers b USING (buyer_id) {JOIN_PROFILE}",
        {
            "kinds": [one.kind for one in wanted],
            "ids": [one.external_id for one in wanted],
            "fingerprint": fingerprint,
        },
    )
    return {Identity(row[0], row[1]): buyer_of(row[2:]) for row in rows}


def find_accounts(
    connection: sa.Connection, account_ids: Collection[int], external_ids: Collection[str]
) -> list[AccountRow]:
    """The accounts with these numbers, and those with these names."""
    if not account_ids and not external_ids:
        return []
    rows = connection.exec_driver_sql(
        "SELECT account_id, external_id, traits FROM recommender.accounts "
        "WHERE account_id = ANY(%s) OR external_id = ANY(%s)",
        (sorted(account_ids), sorted(external_ids)),
    )
    return [AccountRow(row[0], row[1], plain_traits([row[2]])) for row in rows]


def members_of(
    connection: sa.Connection, account_ids: Sequence[int], fingerprint: str
) -> dict[int, list[BuyerRow]]:
    """Each account's buyers, in the order and number in which `store.buyers.members` gives one account's."""
    found: dict[int, list[BuyerRow]] = {account_id: [] for account_id in account_ids}
    if not found:
        return found
    rows = connection.exec_driver_sql(
        "SELECT m.* FROM unnest(%(accounts)s::bigint[]) AS t(account_id) CROSS JOIN LATERAL ("
        f"SELECT {BUYER_COLUMNS} FROM recommender.buyers b {JOIN_PROFILE} WHERE b.account_id = t.account_id "
        f"ORDER BY p.folded_at DESC NULLS FIRST, b.buyer_id LIMIT {MOST_MEMBERS}) m",
        {"accounts": list(found), "fingerprint": fingerprint},
    )
    for row in rows:
        found[int(row[1])].append(buyer_of(row))
    return found


def outcomes_of(connection: sa.Connection, account_ids: Sequence[int]) -> dict[int, list[LoggedSignal]]:
    """What the sales system reported of each account, as `store.buyers.account_outcomes` has it for one."""
    found: dict[int, list[LoggedSignal]] = {account_id: [] for account_id in account_ids}
    if not found:
        return found
    rows = connection.exec_driver_sql(
        "SELECT t.account_id, o.* FROM unnest(%s::bigint[]) AS t(account_id) CROSS JOIN LATERAL ("
        "SELECT extract(epoch FROM at)::float8, kind, weight::float8 FROM recommender.signals s "
        f"WHERE s.account_id = t.account_id ORDER BY at DESC LIMIT {_MOST_OUTCOMES}) o",
        (list(found),),
    )
    for row in rows:
        found[int(row[0])].append(LoggedSignal(row[1], row[2], None, row[3], None))
    return found
