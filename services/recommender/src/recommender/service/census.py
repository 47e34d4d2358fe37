"""Counts buyers and accounts by stage beside the requests, for those who look at dashboards.

A gauge that asks the database must not do so when it is scraped. So a loop asks a bounded question now and
then: of the buyers with the newest signals, `MOST_BUYERS` at most, and of the half year's opportunities.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import sqlalchemy as sa

from recommender.domain.stages import SECONDS_PER_DAY, Floats
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import StageSignal, Tracks
from recommender.service.buyer_view import AccountView, BuyerView
from recommender.service.clock import Clock
from recommender.service.coverage import CoverageService
from recommender.service.estimates import StageEstimator
from recommender.service.meters import STAGES, BusinessMeters
from recommender.service.recent_buyers import RecentBuyers
from recommender.store.webhook_ages import webhook_outbox_age

MOST_BUYERS = 2_000
OPPORTUNITY_DAYS = 180.0
EARLY_DAYS = 30
# An account counts as recognised from the first of these looks back at which its stage says so.
LOOKS_BACK_DAYS = (365, 270, 180, 120, 90, 60, 45, 30, 14, 7, 1)
_RECOGNISED = frozenset({"consideration", "decision"})
# Counting shares the processor with requests: after it the loop rests so many times as long as it took.
_REST = 20.0


class Census:
    """`step` counts once; what it saw before stays in memory, so that moves between stages are noticed."""

    def __init__(
        self,
        engine: sa.Engine,
        recent: RecentBuyers,
        estimator: StageEstimator,
        coverage: CoverageService,
        clock: Clock,
        meters: BusinessMeters,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._recent = recent
        self._estimator = estimator
        self._coverage = coverage
        self._clock = clock
        self._meters = meters
        self._before: dict[str, dict[int, str]] = {"buyer": {}, "account": {}}
        self._rest_until = 0.0

    def step(self) -> None:
        self._count_coverage()
        if time.monotonic() < self._rest_until:
            return
        started = time.monotonic()
        now = self._clock().timestamp()
        with self._engine.connect() as connection:
            views = list(self._recent.views(connection, MOST_BUYERS))
            age, pending = webhook_outbox_age(connection)
        self._meters.webhook_age.set(age)
        self._meters.webhooks_pending.set(pending)
        accounts = {view.account.row.account_id: view.account for view in views if view.account is not None}
        raw = self._account_estimates(list(accounts.values()), now)
        rows = {id_: row for row, id_ in enumerate(accounts)}
        buyers = [view.buyer_id or 0 for view in views]
        estimates = self._buyer_estimates(views, rows, raw, now)
        self._count("account", dict(zip(accounts, self._names(raw), strict=True)))
        self._count("buyer", dict(zip(buyers, self._names(estimates), strict=True)))
        self._look_back(list(accounts.values()), now)
        self._meters.counted_at.set(now)
        took = time.monotonic() - started
        self._meters.census_seconds.observe(took)
        self._rest_until = time.monotonic() + _REST * took

    def _account_estimates(self, accounts: Sequence[AccountView], now: float) -> Floats:
        said = [self._estimator.account_signals(account) for account in accounts]
        tracks = Tracks.of(self._estimator.model, [s for s, _ in said], [people for _, people in said])
        return filter_tracks(self._estimator.model, tracks, now)

    def _buyer_estimates(
        self, views: Sequence[BuyerView], accounts: Mapping[int, int], raw: Floats, now: float
    ) -> Floats:
        """[B, S]; `accounts` says which row of `raw` is whose."""
        tracks = Tracks.of(self._estimator.model, [self._estimator.person_signals(view) for view in views])
        own = filter_tracks(self._estimator.model, tracks, now)
        inside = [i for i, view in enumerate(views) if view.account is not None]
        of = [accounts[a.row.account_id] for view in views if (a := view.account) is not None]
        if inside:
            own[inside] = self._estimator.pooled(own[inside], raw[of])
        return own

    def _names(self, raw: Floats) -> list[str]:
        return list(self._estimator.names(raw)) if len(raw) else []

    def _count(self, subject: str, named: dict[int, str]) -> None:
        gauge = self._meters.buyers if subject == "buyer" else self._meters.accounts
        counts = Counter(named.values())
        for stage in STAGES:
            gauge.labels(stage).set(counts[stage])
        before = self._before[subject]
        for id_, stage in named.items():
            if (was := before.get(id_)) is not None and was != stage:
                self._meters.moves.labels(subject, was, stage).inc()
        self._before[subject] = named

    def _look_back(self, accounts: Sequence[AccountView], now: float) -> None:
        """When was each account that opened an opportunity first recognised, by what was known then?"""
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
        for recognised in ("early", "late", "not"):
            self._meters.opportunities.labels(recognised).set(found[recognised])
        known = [0.0 if days is None else float(days) for days in leads]
        self._meters.lead_time.set(float(np.median(known)) * SECONDS_PER_DAY if known else 0.0)

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
            for i, name in zip(waiting, self._names(raw), strict=True):
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
