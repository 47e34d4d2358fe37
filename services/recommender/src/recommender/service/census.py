"""Counts buyers and accounts by stage beside the requests, for those who look at dashboards.

A gauge that asks the database must not do so when it is scraped. So a loop asks a bounded question now and
then: of the buyers with the newest signals, `MOST_BUYERS` at most, and of the half year's opportunities. One
replica counts and writes down what it found; all show it, so that restarts and replicas change no figure.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from recommender.domain.stages import SECONDS_PER_DAY
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import StageSignal, Tracks
from recommender.service.buyer_view import AccountView
from recommender.service.clock import Clock
from recommender.service.coverage import CoverageService
from recommender.service.estimates import StageEstimator
from recommender.service.meters import STAGES, BusinessMeters
from recommender.service.recent_buyers import RecentBuyers
from recommender.service.shown_stages import shown_stages
from recommender.store import census as store
from recommender.store.webhook_ages import webhook_outbox_age
from servicekit.database import reading

MOST_BUYERS = 2_000
OPPORTUNITY_DAYS = 180.0
EARLY_DAYS = 30
# An account counts as recognised from the first of these looks back at which its stage says so.
LOOKS_BACK_DAYS = (365, 270, 180, 120, 90, 60, 45, 30, 14, 7, 1)
_RECOGNISED = frozenset({"consideration", "decision"})
_HOW_RECOGNISED = ("early", "late", "not")
# Counting shares the processor with requests: after it the loop rests so many times as long as it took.
_REST = 20.0
_CLOCKS_DIFFER = timedelta(minutes=1)


class Census:
    """`step` shows the last count, and makes the next one when it is due and nobody else does."""

    def __init__(
        self,
        engine: sa.Engine,
        recent: RecentBuyers,
        estimator: StageEstimator,
        coverage: CoverageService,
        clock: Clock,
        meters: BusinessMeters,
        *,
        every_seconds: float,
    ) -> None:
        self._engine = engine
        self._in_one_picture = engine.execution_options(isolation_level="REPEATABLE READ")
        self._recent = recent
        self._estimator = estimator
        self._coverage = coverage
        self._clock = clock
        self._meters = meters
        self._every = every_seconds

    def step(self) -> None:
        self._count_coverage()
        if self._is_due():
            with store.alone(self._engine) as mine:
                # Another may have counted since we looked.
                if mine and self._is_due():
                    self._count()
        with reading(self._in_one_picture) as connection:
            found, moves = store.last_count(connection), store.moves(connection)
            age, pending = webhook_outbox_age(connection)
        self._meters.webhook_age.set(age)
        self._meters.webhooks_pending.set(pending)
        if found is not None:
            self._show(found, moves)

    def _is_due(self) -> bool:
        with reading(self._in_one_picture) as connection:
            found = store.last_count(connection)
        now = self._clock()
        # A count of the future was made by a replica whose clock was wrong.
        return found is None or found.due_at <= now or found.counted_at > now + _CLOCKS_DIFFER

    def _count(self) -> None:
        started = time.monotonic()
        moment = self._clock()
        now = moment.timestamp()
        with reading(self._in_one_picture) as connection:
            views = list(self._recent.views(connection, MOST_BUYERS))
        accounts = {view.account.row.account_id: view.account for view in views if view.account is not None}
        buyer_stages, account_stages = shown_stages(self._estimator, views, accounts, now)
        named = {
            "buyer": dict(zip((view.buyer_id or 0 for view in views), buyer_stages, strict=True)),
            "account": dict(zip(accounts, account_stages, strict=True)),
        }
        figures = {subject: Counter(stages.values()) for subject, stages in named.items()}
        figures |= self._look_back(list(accounts.values()), now)
        took = time.monotonic() - started
        due = moment + timedelta(seconds=max(self._every, _REST * took))
        with self._engine.begin() as writing:
            store.write(writing, store.Count(moment, due, figures), named)
        self._meters.census_seconds.observe(took)

    def _show(self, found: store.Count, moves: Mapping[store.Move, int]) -> None:
        figures = found.figures
        for gauge, subject in ((self._meters.buyers, "buyer"), (self._meters.accounts, "account")):
            for stage in STAGES:
                gauge.labels(stage).set(figures[subject].get(stage, 0))
        for recognised in _HOW_RECOGNISED:
            self._meters.opportunities.labels(recognised).set(figures["recognised"].get(recognised, 0))
        self._meters.lead_time.set(figures["lead_time_seconds"])
        self._meters.moves.show(moves)
        self._meters.counted_at.set(found.counted_at.timestamp())

    def _look_back(self, accounts: Sequence[AccountView], now: float) -> dict[str, Any]:
        """When was each account that opened an opportunity first recognised, by what was known then?

        By the stage model alone: a calibration has learnt from these very opportunities.
        """
        opened: list[float] = []
        sequences: list[Sequence[StageSignal]] = []
        people: list[int] = []
        for account in accounts:
            at = [o.at for o in account.outcomes if o.kind == "opportunity_opened"]
            if at and now - max(at) <= OPPORTUNITY_DAYS * SECONDS_PER_DAY:
                signals, count = self._estimator.account_signals(account)
                opened.append(max(at))
                sequences.append(signals)
                people.append(count)
        leads = self._leads(opened, sequences, people)
        found = Counter(
            "not" if days is None else "early" if days >= EARLY_DAYS else "late" for days in leads
        )
        known = [0.0 if days is None else float(days) for days in leads]
        return {
            "recognised": found,
            "lead_time_seconds": float(np.median(known)) * SECONDS_PER_DAY if known else 0.0,
        }

    def _leads(
        self, opened: Sequence[float], sequences: Sequence[Sequence[StageSignal]], people: Sequence[int]
    ) -> list[int | None]:
        """Days before the opportunity, or None where nothing was seen of it."""
        leads: list[int | None] = [None] * len(opened)
        for days in LOOKS_BACK_DAYS:
            waiting = [i for i, lead in enumerate(leads) if lead is None]
            if not waiting:
                break
            tracks = Tracks.of(
                self._estimator.model, [sequences[i] for i in waiting], [people[i] for i in waiting]
            )
            then = np.array([opened[i] - days * SECONDS_PER_DAY for i in waiting])
            raw = filter_tracks(self._estimator.model, tracks, then)
            for i, name in zip(waiting, self._estimator.names(raw), strict=True):
                if name in _RECOGNISED:
                    leads[i] = days
        return leads

    def _count_coverage(self) -> None:
        found = self._coverage.coverage()
        for stage, assets in found["by_stage"].items():
            self._meters.coverage.labels(stage).set(assets)
        filled = Counter((cell["by"], cell["assets"] > 0) for cell in found["cells"])
        for by in ("persona", "topic"):
            for is_filled in (True, False):
                self._meters.cells.labels(by, str(is_filled).lower()).set(filled[by, is_filled])
