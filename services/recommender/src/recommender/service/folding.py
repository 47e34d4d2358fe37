"""Bringing buyers' states up to their logs: when one is read, and in a loop for those nobody reads."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from recommender.domain.buyer_state import STATE_FORMAT, BuyerState, empty_state, moment
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.fold_state import fold_state
from recommender.service.clock import Clock
from recommender.service.meters import SignalMeters
from recommender.store import buyers as store
from recommender.store.buyers import BuyerRow, FoldedState
from servicekit.database import reading

_BLOCK = 100
_RULES_CHECK = timedelta(minutes=1)


def state_fingerprint(kinds: SignalKinds) -> str:
    """Changes when the rules of folding change; states made by other rules are folded anew."""
    parts = (STATE_FORMAT, kinds.names, kinds.engagement, kinds.stage_signal, sorted(kinds.by_type.items()))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


class Folder:
    """States from the log. A stored state is used only if it was folded at the buyer's present version."""

    def __init__(self, engine: sa.Engine, kinds: SignalKinds, clock: Clock, meters: SignalMeters) -> None:
        self._engine = engine
        self._in_one_picture = engine.execution_options(isolation_level="REPEATABLE READ")
        self._kinds = kinds
        self._clock = clock
        self._meters = meters
        self.fingerprint = state_fingerprint(kinds)
        self._rules_checked_at: datetime | None = None

    def state_of(self, connection: sa.Connection, row: BuyerRow) -> BuyerState:
        """The state at `row.version`; folds, and keeps what it folded, when the stored one is older."""
        if row.is_fresh(self._clock()) and row.state is not None:
            return BuyerState.from_bytes(row.state)
        return self._fold(connection, [row])[row.buyer_id]

    @staticmethod
    def stored_state(row: BuyerRow) -> BuyerState:
        """The state as last folded, at most moments old: good enough for the other people of an account."""
        return empty_state() if row.state is None else BuyerState.from_bytes(row.state)

    def replay(self, connection: sa.Connection, buyer_id: int, now: float) -> BuyerState:
        """The state as it was at `now` (epoch seconds), straight from the log."""
        signals = store.logged_signals(connection, [buyer_id])[buyer_id]
        return fold_state(signals, self._kinds, now)

    def fold_stale(self) -> int:
        """One block of stale buyers. → how many were folded."""
        with reading(self._engine) as connection:
            ids = store.stale_buyers(connection, _BLOCK, self._clock()) or self._outdated(connection)
        if not ids:
            return 0
        # One picture for versions and log: a state must never claim a version it has not read.
        with reading(self._in_one_picture) as connection:
            rows = store.buyer_rows(connection, ids, self.fingerprint)
            self._fold(connection, rows)
        return len(rows)

    def _outdated(self, connection: sa.Connection) -> list[int]:
        """States made by other rules; looked for now and then, as a replica of the old rules may go on."""
        now = self._clock()
        if self._rules_checked_at is not None and now - self._rules_checked_at < _RULES_CHECK:
            return []
        ids = store.outdated_buyers(connection, self.fingerprint, _BLOCK)
        if not ids:
            self._rules_checked_at = now
        return ids

    def _fold(self, connection: sa.Connection, rows: Sequence[BuyerRow]) -> dict[int, BuyerState]:
        now = self._clock()
        started = time.perf_counter()
        logs = store.logged_signals(connection, [row.buyer_id for row in rows])
        states = {
            buyer_id: fold_state(signals, self._kinds, now.timestamp()) for buyer_id, signals in logs.items()
        }
        folded = [
            FoldedState(
                id_,
                row.version,
                states[id_].to_bytes(),
                moment(states[id_].last_at),
                moment(min((s.at for s in logs[id_] if s.at > now.timestamp()), default=None)),
            )
            for id_, row in ((row.buyer_id, row) for row in rows)
        ]
        if folded:
            with self._engine.begin() as writing:
                store.save_states(writing, folded, self.fingerprint, now)
        self._meters.folds.inc(len(rows))
        self._meters.fold_seconds.observe(time.perf_counter() - started)
        return states
