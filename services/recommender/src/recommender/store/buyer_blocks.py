"""Reading what is known of many buyers at once: one trip to the database for a block as for one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from recommender.domain.identities import Identity, plain_traits
from recommender.numeric.fold_state import LoggedSignal
from recommender.store.buyers import (
    BUYER_COLUMNS,
    IDENTITY_COLUMNS,
    JOIN_PROFILE,
    MOST_MEMBERS,
    AccountRow,
    BuyerRow,
    IdentityRow,
    buyer_of,
    identities_of,
)
from recommender.store.driver import Question, Rows, ask_all

# As many as `store.buyers.account_outcomes` reads for one account.
_MOST_OUTCOMES = 500


@dataclass(frozen=True, slots=True)
class BuyerBlock:
    """The buyers that were asked for, the accounts that they belong to or that were named, and everybody there.

    `members` are in the order and number in which `store.buyers.members` gives one account's.
    """

    buyers: Mapping[Identity, BuyerRow] = field(default_factory=dict)
    accounts: Sequence[AccountRow] = ()
    members: Mapping[int, Sequence[BuyerRow]] = field(default_factory=dict)
    outcomes: Mapping[int, Sequence[LoggedSignal]] = field(default_factory=dict)
    identities: Mapping[int, Sequence[IdentityRow]] = field(default_factory=dict)


_ASKED = """
WITH known AS (
    SELECT i.kind, i.external_id, b.buyer_id, b.account_id
    FROM unnest(%(kinds)s::text[], %(ids)s::text[]) AS t(kind, external_id)
    JOIN recommender.identities i USING (kind, external_id) JOIN recommender.buyers b USING (buyer_id)
), firms AS (
    SELECT account_id FROM known WHERE account_id IS NOT NULL
    UNION SELECT account_id FROM recommender.accounts WHERE external_id = ANY(%(names)s)
    UNION SELECT unnest(%(accounts)s::bigint[])
)"""
_BUYERS = f"""{_ASKED}
SELECT k.kind, k.external_id, {BUYER_COLUMNS}
FROM known k JOIN recommender.buyers b USING (buyer_id) {JOIN_PROFILE}"""
_ACCOUNTS = f"""{_ASKED}
SELECT a.account_id, a.external_id, a.traits FROM firms JOIN recommender.accounts a USING (account_id)"""
_MEMBERS = f"""
    FROM recommender.buyers b {JOIN_PROFILE} WHERE b.account_id = firms.account_id
    ORDER BY p.folded_at DESC NULLS FIRST, b.buyer_id LIMIT {MOST_MEMBERS}"""
_COLLEAGUES = f"""{_ASKED}
SELECT m.* FROM firms CROSS JOIN LATERAL (SELECT {BUYER_COLUMNS} {_MEMBERS}) m"""
_OUTCOMES = f"""{_ASKED}
SELECT firms.account_id, o.* FROM firms CROSS JOIN LATERAL (
    SELECT extract(epoch FROM at)::float8, kind, weight::float8 FROM recommender.signals s
    WHERE s.account_id = firms.account_id ORDER BY at DESC LIMIT {_MOST_OUTCOMES}
) o"""
_IDENTITIES = f"""{_ASKED}
SELECT {IDENTITY_COLUMNS} FROM (
    SELECT buyer_id FROM known
    UNION SELECT m.buyer_id FROM firms CROSS JOIN LATERAL (SELECT b.buyer_id {_MEMBERS}) m
) everybody JOIN recommender.identities i USING (buyer_id) ORDER BY i.kind DESC, i.identity_id"""


# Planning these takes PostgreSQL several times as long as running them, and a plan for one buyer is as good for
# another: everything is found by its key. By itself it would plan anew each time, as what it estimates for a given
# array is a little cheaper than for one of unknown length.
_PLANNED_ONCE = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


def read_block(
    connection: sa.Connection,
    wanted: Sequence[Identity],
    names: Collection[str],
    fingerprint: str,
    accounts: Collection[int] = (),
) -> BuyerBlock:
    """What is stored of the buyers with these identities and of the accounts with these names or ids."""
    questions = block_questions(wanted, names, fingerprint, accounts)
    return block_of(ask_all(connection, questions) if questions else ())


def block_questions(
    wanted: Sequence[Identity], names: Collection[str], fingerprint: str, accounts: Collection[int] = ()
) -> list[Question]:
    """What `block_of` needs to be told, to travel with other questions; nothing where nobody is asked about."""
    if not (wanted or names or accounts):
        return []
    parameters = {
        "kinds": [one.kind for one in wanted],
        "ids": [one.external_id for one in wanted],
        "names": sorted(names),
        "accounts": sorted(accounts),
        "fingerprint": fingerprint,
    }
    texts = (_BUYERS, _ACCOUNTS, _COLLEAGUES, _OUTCOMES, _IDENTITIES)
    return [Question(_PLANNED_ONCE), *(Question(text, parameters) for text in texts)]


def block_of(answers: Sequence[Rows]) -> BuyerBlock:
    if not answers:
        return BuyerBlock()
    _, buyers, accounts, colleagues, said, identities = answers
    members: dict[int, list[BuyerRow]] = {row[0]: [] for row in accounts}
    outcomes: dict[int, list[LoggedSignal]] = {row[0]: [] for row in accounts}
    for row in colleagues:
        members[row[1]].append(buyer_of(row))
    for row in said:
        outcomes[row[0]].append(LoggedSignal(row[1], row[2], None, row[3], None))
    return BuyerBlock(
        {Identity(row[0], row[1]): buyer_of(row[2:]) for row in buyers},
        [AccountRow(row[0], row[1], plain_traits([row[2]])) for row in accounts],
        members,
        outcomes,
        identities_of(identities),
    )
