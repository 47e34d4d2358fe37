"""Figures of a stage evaluation: log-loss, calibration error, average precision, and lead time of alarms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


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
