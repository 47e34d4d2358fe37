"""Where the accounts stand: counted beside the requests, listed, searched and sorted on request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from recommender.service.buyer_view import AccountView, BuyerReader
from recommender.service.buyers import BuyerService
from recommender.service.clock import Clock
from recommender.service.estimates import StageEstimator
from recommender.store import account_standings as store
from recommender.store.account_standings import MOST_COUNTED, Standing, StandingQuery
from servicekit.errors import Unavailable

_BLOCK = 100
_SILENT = 50
# An account in which nothing happens is counted anew so often: its stage moves by silence.
_COUNTED_EVERY = timedelta(hours=6)
# What was folded longer ago was seen by an earlier step, unless this process has just started.
_LOOK_BACK = timedelta(hours=1)
_EPOCH = datetime.fromtimestamp(0, UTC)
# Counting shares the processor with requests: after it the loop rests so many times as long as it took.
_REST = 5.0
# How far along the way a stage is, for sorting: who left it comes before who never began.
_WAY = ("unknown", "nurture", "awareness", "consideration", "decision", "customer", "renewal")


@dataclass(frozen=True, slots=True)
class StandingPage:
    """`total` stops at `MOST_COUNTED`, and `more_than_total` says so; `after` leads to the next page."""

    standings: Sequence[Standing]
    total: int
    more_than_total: bool
    by_stage: dict[str, int]
    after: tuple[str, int] | None


class StandingCounter:
    """`step` counts one block: accounts with news, those never counted, and those counted long ago."""

    def __init__(
        self,
        engine: sa.Engine,
        reader: BuyerReader,
        estimator: StageEstimator,
        buyers: BuyerService,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._estimator = estimator
        self._buyers = buyers
        self._clock = clock
        self._since = _EPOCH
        self._rest_until = 0.0

    def step(self) -> int:
        """→ how many accounts were counted."""
        started = time.monotonic()
        if started < self._rest_until:
            return 0
        now = self._clock()
        with self._engine.begin() as connection:
            if not store.try_lock(connection):
                return 0
            due = store.changed_accounts(connection, self._since, _BLOCK)
            if len(due) < _BLOCK:
                self._since = now - _LOOK_BACK
                due += store.uncounted_accounts(connection, _BLOCK)
                due += store.silent_accounts(connection, now - _COUNTED_EVERY, _SILENT)
            found = store.accounts_with_people(connection, sorted(set(due)))
            views = self._reader.read_accounts(connection, [row.account_id for row, _ in found])
            counted = [(views[row.account_id], people) for row, people in found if row.account_id in views]
            store.save(connection, [self._count(view, people, now) for view, people in counted])
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - started)
        return len(found)

    def _count(self, view: AccountView, people: int, now: datetime) -> Standing:
        row = view.row
        at = now.timestamp()
        shown = self._estimator.shown(self._estimator.of_account(view, at), at, with_evidence=False)
        last = max((m.state.last_at for m in view.members if m.state.last_at is not None), default=0.0)
        name = row.traits.get("name")
        return Standing(
            account_id=row.account_id,
            external_id=row.external_id,
            name=name[:500] if isinstance(name, str) and name.strip() else row.external_id,
            stage=shown.name,
            stage_rank=_WAY.index(shown.name),
            confidence=shown.confidence,
            people=people,
            signals=sum(m.state.signal_count for m in view.members),
            last_at=datetime.fromtimestamp(last, UTC),
            surging=[str(surge["topic"]) for surge in self._buyers.surges(view, at)],
            counted_at=now,
        )


class StandingList:
    """The list as it is asked for. Raises `Unavailable` when finding it takes too long."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")

    def page(self, query: StandingQuery) -> StandingPage:
        try:
            with self._engine.begin() as connection:
                found, total = store.page(connection, query)
                by_stage = store.count_by_stage(connection)
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != "57014":  # cancelled, as it took too long
                raise
            raise Unavailable(
                "Finding these accounts took too long. Search for more letters, or without a filter.",
                code="list_took_too_long",
            ) from error
        shown = found[: query.page_size]
        return StandingPage(
            standings=[standing for standing, _ in shown],
            total=min(total, MOST_COUNTED),
            more_than_total=total > MOST_COUNTED,
            by_stage={stage: by_stage[stage] for stage in _WAY if stage in by_stage},
            after=(shown[-1][1], shown[-1][0].account_id) if len(found) > query.page_size else None,
        )
