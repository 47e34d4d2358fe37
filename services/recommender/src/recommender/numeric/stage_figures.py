"""Figures of a stage evaluation: log-loss, calibration error, average precision, and lead time of alarms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FIGURES = ("log_loss", "calibration_error", "average_precision", "recognised", "lead_days_mean")


def log_loss(p: Floats, y: Mask) -> float:
    """Mean negative log-likelihood of probabilities [N]."""
    held = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.where(y, np.log(held), np.log1p(-held)).mean())


def calibration_error(p: Floats, y: Mask, bins: int = 10) -> float:
    """Mean distance between claimed and observed share, over bins of equal size, weighted by their size."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(p[i].mean() - y[i].mean()) * len(i) for i in parts) / len(p))


def average_precision(score: Floats, y: Mask) -> float:
    from sklearn.metrics import average_precision_score  # a second to import, and needed here alone

    return float(average_precision_score(y, score)) if y.any() else 0.0


def alarm_threshold(score: Floats, never: Mask, rate: float) -> float:
    """The score that a share `rate` of the snapshots of accounts that never open exceeds: the false-alarm
    rate.
    """
    return float(np.quantile(score[never], 1.0 - rate))


def lead_times(score: Floats, snapshot: Floats, opened_at: Floats, threshold: float) -> Floats:
    """Days between the first alarm of the run of alarms that lasts until the opening, and the opening.

    `score` [T, A], T snapshots (days) of A accounts; `opened_at` [A]. A run may be broken by one silent
    snapshot. 0 for an account whose last snapshots before the opening gave no alarm. Accounts that never
    open are left out.
    """
    leads = []
    for a in np.flatnonzero(np.isfinite(opened_at)):
        before = np.flatnonzero(snapshot < opened_at[a])
        if not len(before):
            continue
        first, misses = None, 0
        for i in before[::-1]:
            if score[i, a] > threshold:
                first, misses = i, 0
            elif misses >= 1:
                break
            else:
                misses += 1
        leads.append(float(opened_at[a] - snapshot[first]) if first is not None else 0.0)
    return np.array(leads)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One method's scores [T, A] of A accounts at T snapshots (`days` [T]); opens [T, A]: an opportunity
    opens within the horizon; opened_at [A] in days, inf for never. Snapshots after the opening are not asked.
    """

    score: Floats
    opens: Mask
    days: Floats
    opened_at: Floats

    @property
    def asked(self) -> Mask:
        return np.asarray(self.opened_at[None, :] > self.days[:, None])


def judge(one: Judged, false_alarms: float, *, claims: bool) -> dict[str, object]:
    """Every figure; log-loss and calibration error only of what claims to be a probability."""
    asked = one.asked
    y, score = one.opens[asked], one.score[asked]
    never = asked & ~np.isfinite(one.opened_at)[None, :]
    threshold = alarm_threshold(one.score, never, false_alarms)
    leads = lead_times(one.score, one.days, one.opened_at, threshold)
    return {
        "snapshots": int(asked.sum()),
        "opens": float(y.mean()),
        "log_loss": log_loss(score, y) if claims else None,
        "calibration_error": calibration_error(score, y) if claims else None,
        "average_precision": average_precision(score, y),
        "false_alarm_rate": float((one.score[never] > threshold).mean()),
        "recognised": float((leads > 0).mean()) if len(leads) else 0.0,
        "lead_days_median": float(np.median(leads)) if len(leads) else 0.0,
        "lead_days_mean": float(leads.mean()) if len(leads) else 0.0,
    }


def resampled(one: Judged, false_alarms: float, draws: int, seed: int, *, claims: bool) -> dict[str, Floats]:
    """Each figure [draws] with the accounts drawn again with replacement.

    Equal seeds draw equal accounts, so that differences between methods are paired. The alarm threshold is
    found anew for each draw, since the rate of false alarms is as uncertain as what it buys.
    """
    rng = np.random.default_rng(seed)
    accounts = len(one.opened_at)
    found: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    for _ in range(draws):
        chosen = rng.integers(0, accounts, accounts)
        again = Judged(one.score[:, chosen], one.opens[:, chosen], one.days, one.opened_at[chosen])
        figures = judge(again, false_alarms, claims=claims)
        for figure, values in found.items():
            value = figures[figure]
            if isinstance(value, float):
                values.append(value)
    return {figure: np.array(values) for figure, values in found.items() if values}
