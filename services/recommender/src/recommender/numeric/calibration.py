"""Calibration: a multinomial logistic from log-posteriors to what outcomes proved, from 200 outcomes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recommender.domain.stages import Floats

LEAST_OUTCOMES = 200
LEAST_PER_GROUP = 10
LEAST_LOG = -20.0
FORMAT = 1


class CalibrationUnreadable(ValueError):
    """A stored calibration that is not one, or is of another format."""


class CalibrationFit(NamedTuple):
    """The calibration, or None and the reason why there is none."""

    calibration: Calibration | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """P(group) = softmax(((log p − mean) / scale) · coefficients + intercepts).

    groups: disjoint sets of states, one per kind of outcome; mean, scale [S]; coefficients [S, groups];
    intercepts [groups]; `outcome_count` says how many outcomes it was fitted on.
    """

    groups: tuple[tuple[int, ...], ...]
    mean: Floats
    scale: Floats
    coefficients: Floats
    intercepts: Floats
    outcome_count: int

    def apply(self, log_p: Floats) -> Floats:
        """Calibrated probabilities [n, groups] of log-posteriors [n, S]; rows sum to 1."""
        logits = ((_held(log_p) - self.mean) / self.scale) @ self.coefficients + self.intercepts
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))

    def apply_to_states(self, p: Floats) -> Floats:
        """Calibrated estimates [n, S] of raw ones [n, S]: each group's mass is calibrated, raw within.

        States in no group keep their raw probability; the groups share what is left.
        """
        with np.errstate(divide="ignore"):
            shown = self.apply(np.log(p))
        grouped = sorted(state for group in self.groups for state in group)
        raw = np.stack([p[:, list(group)].sum(axis=1) for group in self.groups], axis=1)
        shown = shown * p[:, grouped].sum(axis=1, keepdims=True)
        result = p.copy()
        for g, group in enumerate(self.groups):
            members = list(group)
            inside = np.divide(
                p[:, members],
                raw[:, g, None],
                out=np.full((len(p), len(members)), 1.0 / len(members)),
                where=raw[:, g, None] > 0,
            )
            result[:, members] = inside * shown[:, g, None]
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, fit for JSON."""
        return {
            "format": FORMAT,
            "groups": [list(group) for group in self.groups],
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
            "outcome_count": self.outcome_count,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises CalibrationUnreadable."""
        if data.get("format") != FORMAT:
            raise CalibrationUnreadable(
                f"calibration of format {data.get('format')!r}, {FORMAT} is understood"
            )
        try:
            one = cls(
                groups=tuple(tuple(int(state) for state in group) for group in data["groups"]),
                mean=np.array(data["mean"], dtype=np.float64),
                scale=np.array(data["scale"], dtype=np.float64),
                coefficients=np.array(data["coefficients"], dtype=np.float64),
                intercepts=np.array(data["intercepts"], dtype=np.float64),
                outcome_count=int(data["outcome_count"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationUnreadable(f"calibration cannot be read: {error}") from error
        states, groups = one.mean.shape[0] if one.mean.ndim == 1 else -1, len(one.groups)
        if one.scale.shape != (states,) or one.coefficients.shape != (states, groups):
            raise CalibrationUnreadable("the arrays of the calibration do not fit together")
        if one.intercepts.shape != (groups,):
            raise CalibrationUnreadable("the arrays of the calibration do not fit together")
        return one


def fit_calibration(
    log_p: Floats, outcome: NDArray[np.integer[Any]], groups: Sequence[Sequence[int]] | None = None
) -> CalibrationFit:
    """Fit on n past estimates whose truth the sales system has told since.

    log_p [n, S] log-posteriors as they were then; outcome [n] the index of the group that proved right.
    `groups` lists the states of each outcome; by default outcome i is state i. An example:
    ((0, 1, 2, 5, 6), (3, 4)) with 1 = an opportunity opened in time. Answers no calibration and the
    reason when there are fewer than 200 outcomes, a single kind, or fewer than 10 of a kind. Ridge-penalised
    maximum likelihood (scikit-learn's default strength) on standardised inputs. Raises ValueError on shapes
    that do not fit.
    """
    if log_p.ndim != 2 or outcome.shape != (len(log_p),):
        raise ValueError("log_p must be [n, S] and outcome [n]")
    given = (
        [tuple(group) for group in groups] if groups is not None else [(s,) for s in range(log_p.shape[1])]
    )
    if len({state for group in given for state in group}) != sum(map(len, given)) or not all(given):
        raise ValueError("groups must be disjoint and not empty")
    if len(outcome) and (outcome.min() < 0 or outcome.max() >= len(given)):
        raise ValueError("outcome must index groups")
    if len(outcome) < LEAST_OUTCOMES:
        return CalibrationFit(None, f"{len(outcome)} outcomes known, {LEAST_OUTCOMES} are needed")
    kinds, counts = np.unique(outcome, return_counts=True)
    if len(kinds) < 2:
        return CalibrationFit(None, "all outcomes are alike, there is nothing to tell apart")
    if counts.min() < LEAST_PER_GROUP:
        return CalibrationFit(None, f"only {counts.min()} outcomes of one kind, {LEAST_PER_GROUP} are needed")

    from sklearn.linear_model import LogisticRegression  # heavy, and needed for fitting alone

    x = _held(log_p)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    fitted = LogisticRegression(max_iter=2_000).fit((x - mean) / scale, outcome)
    coefficients, intercepts = fitted.coef_.T, fitted.intercept_
    if len(kinds) == 2:  # scikit-learn gives the log-odds of the second alone
        coefficients = np.concatenate((-coefficients / 2, coefficients / 2), axis=1)
        intercepts = np.concatenate((-intercepts / 2, intercepts / 2))
    chosen = tuple(given[int(kind)] for kind in kinds)
    calibration = Calibration(chosen, mean, scale, coefficients, intercepts, len(outcome))
    return CalibrationFit(calibration, f"fitted on {len(outcome)} outcomes")


def _held(log_p: Floats) -> Floats:
    """Logarithms of 0 made finite."""
    return np.maximum(log_p, LEAST_LOG)
