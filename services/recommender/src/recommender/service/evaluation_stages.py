"""Judges the stage estimate on simulated markets: does it see an opportunity coming, how early, how
honestly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import StageModel
from recommender.numeric.calibration import fit_calibration
from recommender.numeric.simulation import ACTIONS, SimulatedAccount, opened_within, simulate_market
from recommender.numeric.stage_figures import (
    alarm_threshold,
    average_precision,
    calibration_error,
    lead_times,
    log_loss,
)
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import Tracks

DAY = 86_400.0
EPOCH = 1_600_000_000.0
"""Day 0 of a simulated market, epoch seconds."""
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Snapshots every `step` days; the question at each: does an opportunity open within a horizon (days)?"""

    accounts: int = 600
    days: int = 730
    first: int = 120
    step: int = 15
    horizons: tuple[float, ...] = (90.0, 180.0)
    false_alarms: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshots:
    """Rows are snapshot × account: `day`, `account` [N], `asked` (no opportunity yet), `opens` within the
    horizon.
    """

    day: Floats
    account: NDArray[np.int64]
    asked: Mask
    opens: Mask


def evaluate_stages(
    model: StageModel, kinds: SignalKinds, seed: int, plan: StagePlan | None = None
) -> list[dict[str, object]]:
    """One row a method and horizon, for one simulated market. Every second account is for fitting, the
    others are judged.

    The calibration of the estimate, the points and the last touch are fitted on the same accounts, so
    that none has an advantage but what it makes of the signals.
    """
    plan = plan or StagePlan()
    market = simulate_market(plan.accounts, plan.days, np.random.default_rng(seed))
    days = np.arange(plan.first, plan.days - max(plan.horizons), plan.step, dtype=np.float64)
    opened = np.array([a.opened_at for a in market])
    raw = np.concatenate([_filtered(model, kinds, market, float(d)) for d in days])
    decayed, last = np.concatenate([_decayed(market, float(d)) for d in days]), _last_touch(market, days)
    rows = []
    for horizon in plan.horizons:
        shots = _Snapshots(
            day=np.repeat(days, len(market)),
            account=np.tile(np.arange(len(market)), len(days)),
            asked=(opened[None, :] > days[:, None]).ravel(),
            opens=np.concatenate([opened_within(market, float(d), horizon) for d in days]),
        )
        scores = _scores(model, raw, decayed, last, shots)
        judged = [_row(name, p, shots, opened, days, plan, claims) for name, (p, claims) in scores.items()]
        rows += [{"horizon_days": horizon, "seed": seed} | row for row in judged]
    return rows


def _scores(
    model: StageModel, raw: Floats, decayed: Floats, last: NDArray[np.int64], shots: _Snapshots
) -> dict[str, tuple[Floats, bool]]:
    """By method a score for each snapshot, and whether it claims to be a probability."""
    fit = shots.asked & (shots.account % 2 == 0)
    intent = tuple(model.state_index(s) for s in ("C", "D"))
    others = tuple(i for i in range(len(model.states)) if i not in intent)
    log_p = np.log(np.maximum(raw, 1e-12))
    found = fit_calibration(log_p[fit], shots.opens[fit].astype(np.int64), (others, intent))
    mass = raw[:, list(intent)].sum(axis=1)
    return {
        "foreword": (found.calibration.apply(log_p)[:, 1] if found.calibration else mass, True),
        "foreword, raw C + D": (mass, False),
        "fitted points, 30-day decay": (_points(decayed, shots.opens, fit), True),
        "estimate and points, fitted together": (
            _points(np.hstack([log_p / 3.0, decayed]), shots.opens, fit),
            True,
        ),
        "last touch": (_by_last(last, shots.opens, fit), True),
        "base rate": (np.full(len(mass), float(shots.opens[fit].mean())), True),
    }


def _row(
    name: str, p: Floats, shots: _Snapshots, opened: Floats, days: Floats, plan: StagePlan, claims: bool
) -> dict[str, object]:
    judged = shots.asked & (shots.account % 2 == 1)
    y, score = shots.opens[judged], p[judged]
    never = judged & ~np.isfinite(opened[shots.account])
    threshold = alarm_threshold(p, never, plan.false_alarms)
    test = np.arange(1, len(opened), 2)
    leads = lead_times(p.reshape(len(days), -1)[:, test], days, opened[test], threshold)
    return {
        "name": name,
        "snapshots": int(judged.sum()),
        "opens": float(y.mean()),
        "log_loss": log_loss(score, y) if claims else None,
        "calibration_error": calibration_error(score, y) if claims else None,
        "average_precision": average_precision(score, y),
        "false_alarm_rate": float((p[never] > threshold).mean()),
        "recognised": float((leads > 0).mean()) if len(leads) else 0.0,
        "lead_days_median": float(np.median(leads)) if len(leads) else 0.0,
        "lead_days_mean": float(leads.mean()) if len(leads) else 0.0,
    }


def _filtered(
    model: StageModel, kinds: SignalKinds, market: Sequence[SimulatedAccount], day: float
) -> Floats:
    """float64 [accounts, S]: the raw estimate of each account at the end of a day."""
    of_action = _stage_types(model, kinds)
    heard = [a.at <= day for a in market]
    counts = np.array([int(h.sum()) for h in heard])
    action = np.concatenate([a.action[h] for a, h in zip(market, heard, strict=True)])
    tracks = Tracks(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        at=EPOCH + DAY * np.concatenate([a.at[h] for a, h in zip(market, heard, strict=True)]),
        type=of_action[action],
        weight=np.ones(len(action)),
        people=np.array(
            [max(1, len(set(a.person[h]))) for a, h in zip(market, heard, strict=True)], dtype=np.float64
        ),
    )
    return np.asarray(filter_tracks(model, tracks, EPOCH + DAY * day))


def _stage_types(model: StageModel, kinds: SignalKinds) -> NDArray[np.int64]:
    """For each action the stage model's signal, as the product would map the event; -1 says nothing."""
    names = [kinds.stage_signal_of(kinds.kind_of_event(event), of_type) for event, of_type, *_ in ACTIONS]
    return np.array([-1 if n is None else model.signal_index.get(n, -1) for n in names], dtype=np.int64)


def _decayed(market: Sequence[SimulatedAccount], day: float) -> Floats:
    """float64 [accounts, actions]: how often each was done, decayed with 30 days."""
    out = np.zeros((len(market), len(ACTIONS)))
    for i, account in enumerate(market):
        heard = account.at <= day
        decay = np.exp(-(day - account.at[heard]) / 30.0)
        out[i] = np.bincount(account.action[heard], weights=decay, minlength=len(ACTIONS))
    return out


def _points(decayed: Floats, opens: Mask, fit: Mask) -> Floats:
    """Points for each action, fitted by logistic regression, and the score turned into a probability."""
    from sklearn.linear_model import LogisticRegression  # a second to import, and needed here alone

    model = LogisticRegression(C=1.0, max_iter=2_000).fit(decayed[fit], opens[fit])
    return np.asarray(model.predict_proba(decayed)[:, 1], dtype=np.float64)


def _last_touch(market: Sequence[SimulatedAccount], days: Floats) -> NDArray[np.int64]:
    """int64 [days × accounts]: the latest action, with whether it is younger than 30 days."""
    out = []
    for day in days:
        for account in market:
            n = int(np.searchsorted(account.at, day, side="right"))
            recent = bool(n) and day - account.at[n - 1] < 30.0
            out.append(2 * int(account.action[n - 1]) + 1 + recent if n else 0)
    return np.array(out, dtype=np.int64)


def _by_last(last: NDArray[np.int64], opens: Mask, fit: Mask) -> Floats:
    """The share that opened after each last touch, shrunk towards the base rate by ten snapshots."""
    size = 2 * len(ACTIONS) + 2
    count = np.bincount(last[fit], minlength=size)
    opened = np.bincount(last[fit], weights=opens[fit].astype(np.float64), minlength=size)
    rate = (opened + 10.0 * float(opens[fit].mean())) / (count + 10.0)
    return np.asarray(rate[last], dtype=np.float64)
