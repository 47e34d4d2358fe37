"""Learning a calibration from a log of outcomes, with the table that says whether it is worth having."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.stages import StageModel
from recommender.numeric.calibration import Calibration, fit_calibration, out_of_fold
from recommender.numeric.outcome_features import falling_names
from recommender.numeric.outcome_history import snapshot_moments, take_snapshots
from recommender.numeric.stage_display import intent
from recommender.numeric.stage_figures import average_precision, calibration_error, log_loss
from recommender.service.outcome_log import OutcomeLog, latest

Floats = NDArray[np.float64]
MOST_MOMENTS = 48


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One line of the table; log-loss and calibration error only of what claims to be a probability."""

    name: str
    log_loss: float | None
    calibration_error: float | None
    average_precision: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibrating:
    """`calibration` is None where `reason` says why. Rows are judged on accounts that were not fitted on."""

    calibration: Calibration | None
    reason: str
    outcome_count: int
    snapshot_count: int
    account_count: int
    rows: tuple[CalibrationRow, ...] = ()


def calibrate(model: StageModel, log: OutcomeLog) -> Calibrating:
    """Fit on snapshots of the last two years whose horizon has passed, each of what was known then."""
    count = log.outcome_count
    needed = model.calibration.least_outcomes
    if count < needed:
        return Calibrating(None, f"{count} outcomes known, {needed} are needed", count, 0, len(log.histories))
    moments = snapshot_moments(model, log.histories, latest(log.histories))[-MOST_MOMENTS:]
    if not len(moments):
        reason = f"the log is shorter than the horizon of {model.calibration.horizon_days:g} days"
        return Calibrating(None, reason, count, 0, len(log.histories))
    shots = take_snapshots(model, log.histories, moments)
    asked = shots.asked
    x, opens, account = shots.x[asked], shots.opens[asked], shots.account[asked].astype(np.int64)
    weight = np.array(log.weights)[account]
    found = fit_calibration(model, x, opens, account, count, weight)
    if found.calibration is None:
        return Calibrating(None, found.reason, count, len(x), len(log.histories))
    ours = out_of_fold(model, x, opens, account)
    falling = len(falling_names(model))
    base = np.full(len(x), float(opens.mean()))
    points, last = (_points(model, part, opens, account) for part in (x[:, falling:], x[:, falling - 1 :]))
    rows = (
        _row("foreword, calibrated", ours, opens),
        _row("fitted points, decayed counts", last, opens),
        _row("fitted points, as of the last signal", points, opens),
        _row("base rate", base, opens),
        CalibrationRow("foreword, raw", None, None, average_precision(intent(model, shots.p[asked]), opens)),
    )
    return Calibrating(found.calibration, found.reason, count, len(x), len(log.histories), rows)


def _row(name: str, p: Floats, opens: NDArray[np.bool_]) -> CalibrationRow:
    return CalibrationRow(name, log_loss(p, opens), calibration_error(p, opens), average_precision(p, opens))


def _points(model: StageModel, x: Floats, opens: NDArray[np.bool_], account: NDArray[np.int64]) -> Floats:
    # Seconds to import, and needed here alone.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedGroupKFold(model.calibration.folds, shuffle=True, random_state=0)
    points = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=2_000))
    found = cross_val_predict(points, x, opens, groups=account, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)
