"""Calibration: from an account's estimate and recent signals to the chance that an opportunity opens in time.

A ridge-penalised logistic regression, fitted on what the sales system has reported. Coefficients of
features that fall in silence are held at 0 or above, so that silence lowers the calibrated estimate too.
scikit-learn's LogisticRegression knows no such bounds; the objective is convex and a dozen lines, and SciPy
minimises it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recommender.domain.stages import Floats, StageModel
from recommender.numeric.outcome_features import falling_names, resting_names
from recommender.numeric.stage_display import anchored_within, log_odds, prevalent_odds, with_intent

LEAST_OPENINGS = 20
"""Accounts with an opening, and without one, that cross-validation can be trusted with."""
FORMAT = 2
Groups = NDArray[np.int64]


class CalibrationUnreadable(ValueError):
    """A stored calibration that is not one, or is of another format."""


class CalibrationFit(NamedTuple):
    """The calibration, or None and the reason why there is none."""

    calibration: Calibration | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """log-odds that an opportunity opens within `horizon_days` = intercept + ((x − mean) / scale) · weights.

    names: the F features, those that fall in silence first; mean, scale, weights [F]. `base_rate` is the
    share of snapshots it was fitted on after which one opened; `outcome_count` the reports of the sales
    system behind it; `stage_version` the version of the stage file whose estimates it reads: of another it
    says nothing.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    intercept: float
    base_rate: float
    horizon_days: float
    outcome_count: int
    strength: float
    stage_version: str

    def log_odds(self, x: Floats) -> Floats:
        """Log-odds [n] of features [n, F]."""
        return np.asarray(((x - self.mean) / self.scale) @ self.weights + self.intercept)

    def probability(self, x: Floats) -> Floats:
        """The chance [n] that an opportunity opens within `horizon_days`."""
        return np.asarray(expit(self.log_odds(x)))

    def evidence(self, x: Floats) -> Floats:
        """By how much [n] the log-odds exceed those of the base rate."""
        return np.asarray(self.log_odds(x) - log_odds(np.array(self.base_rate)))

    def fits(self, model: StageModel) -> bool:
        """Whether it was fitted on the estimates of this very model."""
        return self.stage_version == model.version and self.names == falling_names(model) + resting_names(
            model
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, fit for JSON."""
        return {
            "format": FORMAT,
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "base_rate": self.base_rate,
            "horizon_days": self.horizon_days,
            "outcome_count": self.outcome_count,
            "strength": self.strength,
            "stage_version": self.stage_version,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises CalibrationUnreadable."""
        if data.get("format") != FORMAT:
            raise CalibrationUnreadable(
                f"calibration of format {data.get('format')!r}, {FORMAT} is understood"
            )
        try:
            names = tuple(str(name) for name in data["names"])
            mean, scale, weights = (
                np.array(data[key], dtype=np.float64) for key in ("mean", "scale", "weights")
            )
            intercept, base_rate, horizon, strength = (
                float(data[key]) for key in ("intercept", "base_rate", "horizon_days", "strength")
            )
            count, version = int(data["outcome_count"]), str(data["stage_version"])
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationUnreadable(f"calibration cannot be read: {error}") from error
        numbers = np.concatenate(
            [mean.ravel(), scale.ravel(), weights.ravel(), [intercept, base_rate, horizon]]
        )
        if any(a.shape != (len(names),) for a in (mean, scale, weights)) or not np.all(np.isfinite(numbers)):
            raise CalibrationUnreadable("the arrays of the calibration do not fit together")
        if not 0 < base_rate < 1 or np.any(scale <= 0):
            raise CalibrationUnreadable("the calibration's scale or base rate makes no sense")
        return cls(
            names, mean, scale, weights, intercept, base_rate, horizon, count, strength, version
        )  # fmt: skip


def calibrated(model: StageModel, p: Floats, evidence: Floats) -> Floats:
    """Estimates fit to be shown once there are outcomes. p [B, S] raw; evidence [B]; returns [B, S].

    Like `anchor`, but how far intent lies from the prevalence is what outcomes teach, not a configured power
    of the raw evidence. It ranks exactly as the calibrated chance does.
    """
    return with_intent(model, anchored_within(model, p), prevalent_odds(model) + evidence)


def fit_calibration(
    model: StageModel,
    x: Floats,
    opened: NDArray[np.bool_],
    account: Groups,
    outcome_count: int,
    weight: Floats | None = None,
) -> CalibrationFit:
    """Fit on snapshots whose truth the sales system has told since.

    x [n, F] as `outcome_features` gives them; opened [n]: an opportunity opened within the horizon; account
    [n] whose snapshot it is, so that no account is on both sides of a cross-validation; weight [n], of
    snapshots that stand for others. `outcome_count`: opportunities opened, won and lost. Raises ValueError on
    shapes that do not fit.
    """
    names, settings = falling_names(model) + resting_names(model), model.calibration
    if x.ndim != 2 or x.shape[1] != len(names) or opened.shape != (len(x),) or account.shape != (len(x),):
        raise ValueError("x must be [n, F], opened and account [n]")
    if outcome_count < settings.least_outcomes:
        return CalibrationFit(None, f"{outcome_count} outcomes known, {settings.least_outcomes} are needed")
    opening, others = len(np.unique(account[opened])), len(np.unique(account[~opened]))
    if min(opening, others) < LEAST_OPENINGS:
        return CalibrationFit(
            None,
            f"an opportunity opened in time at {opening} accounts and not at {others}: "
            f"{LEAST_OPENINGS} of each are needed",
        )
    share = np.ones(len(x)) if weight is None else weight
    strength = _chosen_strength(model, x, opened, account, share)
    fitted = _fit(model, x, opened, share, strength, outcome_count)
    return CalibrationFit(fitted, f"fitted on {outcome_count} outcomes")


def out_of_fold(model: StageModel, x: Floats, opened: NDArray[np.bool_], account: Groups) -> Floats:
    """The chance [n] of each snapshot by a calibration that has not seen its account."""
    result, share = np.empty(len(x)), np.ones(len(x))
    for train, test in _folds(model, x, opened, account):
        strength = _chosen_strength(model, x[train], opened[train], account[train], share[train])
        fitted = _fit(model, x[train], opened[train], share[train], strength, 0)
        result[test] = fitted.probability(x[test])
    return result


def _chosen_strength(
    model: StageModel, x: Floats, opened: NDArray[np.bool_], account: Groups, share: Floats
) -> float:
    """The ridge penalty with the least cross-validated log-loss; folds are of whole accounts."""
    losses = dict.fromkeys(model.calibration.strengths, 0.0)
    for train, test in _folds(model, x, opened, account):
        for strength in losses:
            fitted = _fit(model, x[train], opened[train], share[train], strength, 0)
            odds = fitted.log_odds(x[test])
            losses[strength] += float(share[test] @ (np.logaddexp(0.0, odds) - odds * opened[test]))
    return min(losses, key=lambda strength: losses[strength])


def _folds(
    model: StageModel, x: Floats, opened: NDArray[np.bool_], account: Groups
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold  # heavy, and needed for fitting alone

    folds = StratifiedGroupKFold(model.calibration.folds, shuffle=True, random_state=0)
    return list(folds.split(x, opened, account))


def _fit(
    model: StageModel,
    x: Floats,
    opened: NDArray[np.bool_],
    share: Floats,
    strength: float,
    outcome_count: int,
) -> Calibration:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    z, y = (x - mean) / scale, opened.astype(np.float64)
    base = float(np.clip(share @ y / share.sum(), 1e-6, 1 - 1e-6))

    def loss(w: Floats) -> tuple[float, Floats]:
        odds = z @ w[1:] + w[0]
        miss = share * (expit(odds) - y)
        value = share @ (np.logaddexp(0.0, odds) - odds * y) + strength / 2 * (w[1:] @ w[1:])
        return float(value), np.concatenate(([miss.sum()], z.T @ miss + strength * w[1:]))

    falling = len(falling_names(model))
    bounds = [(None, None), *[(0.0, None)] * falling, *[(None, None)] * (x.shape[1] - falling)]
    begin = np.zeros(x.shape[1] + 1)
    begin[0] = np.log(base / (1.0 - base))
    from scipy.optimize import minimize  # a third of a second that only calibrating needs

    found = minimize(
        loss, begin, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-8}
    ).x
    return Calibration(
        names=falling_names(model) + resting_names(model),
        mean=mean,
        scale=scale,
        weights=np.asarray(found[1:], dtype=np.float64),
        intercept=float(found[0]),
        base_rate=base,
        horizon_days=model.calibration.horizon_days,
        outcome_count=outcome_count,
        strength=strength,
        stage_version=model.version,
    )
