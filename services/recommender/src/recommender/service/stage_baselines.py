"""What a stage estimate is judged beside: fitted points with decay, last touch, and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.numeric.simulation import ACTIONS, SimulatedAccount

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

DECAY_DAYS = 30.0
STRENGTHS = [0.003, 0.03, 0.3]
"""Inverse ridge penalties that the points choose from, on the accounts that they are fitted on."""
FOLDS = 5


def decayed_counts(market: Sequence[SimulatedAccount], day: float) -> Floats:
    """float64 [accounts, actions]: how often each was done, decayed with 30 days."""
    out = np.zeros((len(market), len(ACTIONS)))
    for i, account in enumerate(market):
        heard = account.at <= day
        decay = np.exp(-(day - account.at[heard]) / DECAY_DAYS)
        out[i] = np.bincount(account.action[heard], weights=decay, minlength=len(ACTIONS))
    return out


def fitted_points(x: Floats, opens: Mask, fit: Mask, groups: Ints) -> Floats:
    """A chance [n] for each row of x [n, F] by logistic regression, its penalty chosen by cross-validation
    over whole accounts (`groups`, of the rows to fit on).
    """
    # Seconds to import, and needed here alone.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000)),
        {"logisticregression__C": STRENGTHS},
        scoring="neg_log_loss",
        cv=GroupKFold(FOLDS),
    ).fit(x[fit], opens[fit], groups=groups)
    return np.asarray(search.predict_proba(x)[:, 1], dtype=np.float64)


def boosted_trees(x: Floats, opens: Mask, fit: Mask, groups: Ints) -> Floats:
    """A chance [n] by histogram gradient boosting, its size chosen as the penalty of the points is."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GridSearchCV, GroupKFold

    search = GridSearchCV(
        HistGradientBoostingClassifier(
            learning_rate=0.05, max_leaf_nodes=3, min_samples_leaf=50, l2_regularization=10.0, random_state=0
        ),
        {"max_iter": [60, 120]},
        scoring="neg_log_loss",
        cv=GroupKFold(FOLDS),
    ).fit(x[fit], opens[fit], groups=groups)
    return np.asarray(search.predict_proba(x)[:, 1], dtype=np.float64)


def last_touch(market: Sequence[SimulatedAccount], days: Floats) -> Ints:
    """int64 [days × accounts]: the latest action, with whether it is younger than 30 days."""
    out = []
    for day in days:
        for account in market:
            n = int(np.searchsorted(account.at, day, side="right"))
            recent = bool(n) and day - account.at[n - 1] < DECAY_DAYS
            out.append(2 * int(account.action[n - 1]) + 1 + recent if n else 0)
    return np.array(out, dtype=np.int64)


def share_by_last_touch(last: Ints, opens: Mask, fit: Mask) -> Floats:
    """The share that opened after each last touch, shrunk towards the base rate by ten snapshots."""
    size = 2 * len(ACTIONS) + 2
    count = np.bincount(last[fit], minlength=size)
    opened = np.bincount(last[fit], weights=opens[fit].astype(np.float64), minlength=size)
    rate = (opened + 10.0 * float(opens[fit].mean())) / (count + 10.0)
    return np.asarray(rate[last], dtype=np.float64)
