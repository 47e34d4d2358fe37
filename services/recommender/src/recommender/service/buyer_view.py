"""A buyer as one request sees them: states of person and account, traits, consent, at one moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from recommender.domain.buyer_state import BuyerState, empty_state
from recommender.domain.identities import Identity, consent_rank, plain_traits, role_of
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.fold_state import LoggedSignal, fold_state
from recommender.service.folding import Folder
from recommender.store import buyers as store
from recommender.store.buyer_blocks import BuyerBlock, block_of, block_questions, read_block
from recommender.store.buyers import AccountRow, IdentityRow
from recommender.store.driver import Question, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One person of an account."""

    buyer_id: int
    state: BuyerState
    identities: Sequence[IdentityRow]

    @property
    def traits(self) -> dict[str, Any]:
        return plain_traits(identity.traits for identity in self.identities)

    @property
    def role(self) -> str | None:
        return role_of(self.traits)


@dataclass(frozen=True, slots=True, eq=False)
class AccountView:
    """An account: its people and what the sales system said of it."""

    row: AccountRow
    members: Sequence[Member]
    outcomes: Sequence[LoggedSignal]


@dataclass(frozen=True, slots=True, eq=False)
class BuyerView:
    """`buyer_id` is None for somebody never seen before."""

    buyer_id: int | None
    state: BuyerState
    identities: Sequence[IdentityRow]
    account: AccountView | None

    @property
    def traits(self) -> dict[str, Any]:
        return plain_traits(identity.traits for identity in self.identities)

    @property
    def may_profile(self) -> bool:
        """False once the buyer opted out (Sec-GPC) or refused every category of consent."""
        if any(identity.opted_out_at is not None for identity in self.identities):
            return False
        said = [
            (consent_rank(i.consent_at, i.consent), i.consent)
            for i in self.identities
            if i.consent is not None and i.consent_at is not None
        ]
        if not said:
            return True
        latest = max(said, key=lambda one: one[0])[1]
        return not latest or any(value is True for value in latest.values())


class BuyerReader:
    """Loads views; `as_of` (epoch seconds) replays the log instead of using folded states."""

    def __init__(self, folder: Folder, kinds: SignalKinds) -> None:
        self._folder = folder
        self._kinds = kinds

    def read(
        self,
        connection: sa.Connection,
        identity: Identity | None,
        account_id: str | None,
        as_of: float | None = None,
    ) -> BuyerView:
        """The caller's connection is in one REPEATABLE READ picture, so version and log agree."""
        row = None
        if identity is not None:
            row = store.find_buyer(connection, identity, self._folder.fingerprint)
        if row is None:
            found = None if account_id is None else store.find_account(connection, account_id)
            account = None if found is None else self._account(connection, found, None, as_of)
            return BuyerView(None, empty_state(), (), account)
        if as_of is None:
            state = self._folder.state_of(connection, row)
        else:
            state = self._folder.replay(connection, row.buyer_id, as_of)
        identities = store.buyer_identities(connection, [row.buyer_id]).get(row.buyer_id, [])
        account_row = None
        if row.account_id is not None:
            account_row = store.account_by_id(connection, row.account_id)
        elif account_id is not None:
            account_row = store.find_account(connection, account_id)
        me = Member(row.buyer_id, state, identities)
        account = None if account_row is None else self._account(connection, account_row, me, as_of)
        return BuyerView(row.buyer_id, state, identities, account)

    def questions(self, asked: Sequence[tuple[Identity | None, str | None]]) -> list[Question]:
        """What `views` needs to be told, to travel with what else is asked."""
        wanted = list(dict.fromkeys(identity for identity, _ in asked if identity is not None))
        names = {name for _, name in asked if name is not None}
        return block_questions(wanted, names, self._folder.fingerprint)

    def views(
        self,
        connection: sa.Connection,
        asked: Sequence[tuple[Identity | None, str | None]],
        answers: Sequence[Rows],
    ) -> list[BuyerView]:
        """What `read` gives for each (identity, account's name) asked for, from the `answers` to `questions`.

        Buyers whose log has grown since they were folded are folded from it, each in a trip of its own.
        """
        block = block_of(answers)
        rows = [None if identity is None else block.buyers.get(identity) for identity, _ in asked]
        states = {row.buyer_id: self._folder.state_of(connection, row) for row in block.buyers.values()}
        by_id = {account.account_id: account for account in block.accounts}
        by_name = {account.external_id: account for account in block.accounts}
        identities = block.identities
        colleagues = self._members(block)
        views = []
        for row, (_, name) in zip(rows, asked, strict=True):
            known = None if row is None else row.account_id
            account = by_id[known] if known is not None else by_name.get(name or "")
            buyer_id = None if row is None else row.buyer_id
            state = empty_state() if buyer_id is None else states[buyer_id]
            own = () if buyer_id is None else identities.get(buyer_id, [])
            of_account = None
            if account is not None:
                others = [one for one in colleagues[account.account_id] if one.buyer_id != buyer_id]
                if buyer_id is not None:
                    others.insert(0, Member(buyer_id, state, own))
                of_account = AccountView(account, others, block.outcomes[account.account_id])
            views.append(BuyerView(buyer_id, state, own, of_account))
        return views

    @staticmethod
    def stranger() -> BuyerView:
        """Somebody of whom nothing is known."""
        return BuyerView(None, empty_state(), (), None)

    def read_accounts(
        self, connection: sa.Connection, account_ids: Collection[int]
    ) -> dict[int, AccountView]:
        """What `read_account` gives for each that there is, in one trip to the database."""
        block = read_block(connection, (), (), self._folder.fingerprint, account_ids)
        members = self._members(block)
        return {
            row.account_id: AccountView(row, members[row.account_id], block.outcomes[row.account_id])
            for row in block.accounts
        }

    def _members(self, block: BuyerBlock) -> dict[int, list[Member]]:
        return {
            account_id: [
                Member(row.buyer_id, self._folder.stored_state(row), block.identities.get(row.buyer_id, ()))
                for row in rows
            ]
            for account_id, rows in block.members.items()
        }

    def read_account(
        self, connection: sa.Connection, account: AccountRow, as_of: float | None = None
    ) -> AccountView:
        return self._account(connection, account, None, as_of)

    def _account(
        self, connection: sa.Connection, account: AccountRow, me: Member | None, as_of: float | None
    ) -> AccountView:
        rows = store.members(connection, account.account_id, self._folder.fingerprint)
        if me is not None:
            rows = [row for row in rows if row.buyer_id != me.buyer_id]
        identities = store.buyer_identities(connection, [row.buyer_id for row in rows])
        if as_of is None:
            states = {row.buyer_id: self._folder.stored_state(row) for row in rows}
        else:
            logs = store.logged_signals(connection, [row.buyer_id for row in rows])
            states = {buyer: fold_state(log, self._kinds, as_of) for buyer, log in logs.items()}
        members = [
            Member(row.buyer_id, states[row.buyer_id], identities.get(row.buyer_id, ())) for row in rows
        ]
        if me is not None:
            members.insert(0, me)
        outcomes = [
            o
            for o in store.account_outcomes(connection, account.account_id)
            if as_of is None or o.at <= as_of
        ]
        return AccountView(account, members, outcomes)
