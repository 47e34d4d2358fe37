"""Judges the stage estimate on simulated markets: does it see an opportunity coming, how early, how
honestly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import StageModel
from recommender.numeric.calibration import fit_calibration
from recommender.numeric.outcome_history import AccountHistory, Snapshots, take_snapshots
from recommender.numeric.simulation import ACTIONS, SimulatedAccount, simulate_market
from recommender.numeric.stage_display import intent
from recommender.numeric.stage_figures import FIGURES, Judged, judge, resampled
from recommender.service.stage_baselines import (
    boosted_trees,
    decayed_counts,
    fitted_points,
    last_touch,
    share_by_last_touch,
)

DAY = 86_400.0
EPOCH = 1_600_000_000.0
"""Day 0 of a simulated market, epoch seconds."""
DRAWS = 50
AGAINST = ("fitted points, 30-day decay", "last touch", "base rate")
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Snapshots every `step` days; the question at each: does an opportunity open within a horizon (days)?"""

    accounts: int = 1_200
    days: int = 730
    first: int = 120
    step: int = 15
    last: int = 550
    horizons: tuple[float, ...] = (90.0,)
    false_alarms: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Market:
    """A market seen at `days`: features and estimates once, `opened` [accounts] in days."""

    days: Floats
    opened: Floats
    outcomes: int
    shots: Snapshots
    decayed: Floats
    last: NDArray[np.int64]
    fit: Mask


def evaluate_stages(
    model: StageModel,
    kinds: SignalKinds,
    seeds: Sequence[int],
    plan: StagePlan | None = None,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:
    """→ `rows`, one a method, horizon and market; `summary`, their means with 95% intervals by bootstrap over
    accounts, and how far ours is ahead of each baseline.

    Every second account is for fitting, the others are judged. Everything that is fitted is fitted on the
    same accounts, with its own penalty chosen by cross-validation, so that none has an advantage but
    what it makes of the signals. The calibration is refused below 200 outcomes, here as in service.
    """
    plan = plan or StagePlan()
    rows: list[dict[str, object]] = []
    drawn: dict[tuple[float, str], list[dict[str, Floats]]] = {}
    for seed in seeds:
        market = _seen(model, kinds, seed, plan)
        said(f"market {seed}: {market.outcomes} outcomes to learn from, {len(market.shots.at)} snapshots")
        for horizon in plan.horizons:
            opens = _opens(market, horizon)
            for name, (score, claims) in _scores(model, market, opens).items():
                judged = judge(_judged(market, opens, score), plan.false_alarms, claims=claims)
                draws = resampled(
                    _judged(market, opens, score), plan.false_alarms, DRAWS, seed, claims=claims
                )
                drawn.setdefault((horizon, name), []).append(draws)
                rows.append({"horizon_days": horizon, "seed": seed, "name": name} | judged)
            said(f"market {seed}: judged at {horizon:.0f} days")
    return {
        "outcomes_needed": model.calibration.least_outcomes,
        "rows": rows,
        "summary": _summary(rows, drawn),
    }


def _seen(model: StageModel, kinds: SignalKinds, seed: int, plan: StagePlan) -> _Market:
    market = simulate_market(plan.accounts, plan.days, np.random.default_rng(seed))
    days = np.arange(plan.first, plan.last, plan.step, dtype=np.float64)
    histories = [history_of(model, kinds, account) for account in market]
    opened = np.array([account.opened_at for account in market])
    shots = take_snapshots(model, histories, EPOCH + DAY * days, with_outcomes=False)
    until = EPOCH + DAY * plan.days
    return _Market(
        days=days,
        opened=opened,
        outcomes=sum(int((h.opened < until).sum() + (h.closed < until).sum()) for h in histories[::2]),
        shots=shots,
        decayed=np.concatenate([decayed_counts(market, float(d)) for d in days]),
        last=last_touch(market, days),
        fit=(opened[shots.account] > np.repeat(days, len(market))) & (shots.account % 2 == 0),
    )


def history_of(model: StageModel, kinds: SignalKinds, account: SimulatedAccount) -> AccountHistory:
    """As the product would map the events; what it has no row for says nothing."""
    names = [kinds.stage_signal_of(kinds.kind_of_event(event), of_type) for event, of_type, *_ in ACTIONS]
    of = np.array([-1 if n is None else model.signal_index.get(n, -1) for n in names], dtype=np.int64)
    ends = np.array([account.closed_at])
    ends = ends[np.isfinite(ends)]
    begins = np.array([account.opened_at])
    return AccountHistory(
        at=EPOCH + DAY * account.at,
        type=of[account.action],
        weight=np.ones(len(account.at)),
        person=account.person,
        opened=EPOCH + DAY * begins[np.isfinite(begins)],
        closed=EPOCH + DAY * ends,
        won=np.full(len(ends), account.won),
    )


def _opens(market: _Market, horizon: float) -> Mask:
    day = np.repeat(market.days, len(market.opened))
    opened = market.opened[market.shots.account]
    return np.asarray((opened > day) & (opened <= day + horizon))


def _scores(model: StageModel, market: _Market, opens: Mask) -> dict[str, tuple[Floats, bool]]:
    """By method a score for each snapshot, and whether it claims to be a probability."""
    fit, shots = market.fit, market.shots
    groups = shots.account[fit]
    found = fit_calibration(model, shots.x[fit], opens[fit], groups, market.outcomes)
    raw = intent(model, shots.p)
    alone = fitted_points(shots.x[:, : len(model.filter.ladder)], opens, fit, groups)
    ours = (raw, False) if found.calibration is None else (found.calibration.probability(shots.x), True)
    return {
        "foreword": ours,
        "foreword, the estimate alone fitted": (alone, True),
        "foreword, raw C + D": (raw, False),
        "boosted trees on the same": (boosted_trees(shots.x, opens, fit, groups), True),
        "fitted points, 30-day decay": (fitted_points(market.decayed, opens, fit, groups), True),
        "fitted points, square roots": (fitted_points(np.sqrt(market.decayed), opens, fit, groups), True),
        "last touch": (share_by_last_touch(market.last, opens, fit), True),
        "base rate": (np.full(len(raw), float(opens[fit].mean())), True),
    }


def _judged(market: _Market, opens: Mask, score: Floats) -> Judged:
    accounts = len(market.opened)
    test = np.arange(1, accounts, 2)
    return Judged(
        score=score.reshape(-1, accounts)[:, test],
        opens=opens.reshape(-1, accounts)[:, test],
        days=market.days,
        opened_at=market.opened[test],
    )


def _summary(
    rows: Sequence[dict[str, object]], drawn: dict[tuple[float, str], list[dict[str, Floats]]]
) -> list[dict[str, object]]:
    """Means over the markets; each draw resamples the accounts of every market."""
    mean_of = {
        key: {figure: np.mean([draws[figure] for draws in markets], axis=0) for figure in markets[0]}
        for key, markets in drawn.items()
    }
    found: list[dict[str, object]] = []
    for (horizon, name), draws in mean_of.items():
        own = [row for row in rows if row["name"] == name and row["horizon_days"] == horizon]
        line: dict[str, object] = {"horizon_days": horizon, "name": name}
        for figure in FIGURES:
            values = [row[figure] for row in own]
            if all(isinstance(value, float) for value in values):
                line[figure] = float(np.mean(np.array(values, dtype=np.float64)))
                line[f"{figure}_ci"] = _interval(draws[figure])
        if name == "foreword":
            line["ahead_of"] = {
                other: {
                    figure: _interval(draws[figure] - mean_of[horizon, other][figure])
                    for figure in FIGURES
                    if figure in draws and figure in mean_of[horizon, other]
                }
                for other in AGAINST
            }
        found.append(line)
    return found


def _interval(draws: Floats) -> list[float]:
    return [float(x) for x in np.quantile(draws, [0.025, 0.975])]
