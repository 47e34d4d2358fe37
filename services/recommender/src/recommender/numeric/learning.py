"""Fits the blend to a log: a multinomial logit over the candidates of each case, with a curve for each
term.

Each term's share of the score is a piecewise linear function of the term's value, so that the fitted
blend is as additive, and as explainable, as the plain one. Fitted by maximum likelihood with a ridge
(McFadden 1974).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recommender.domain.ranking_config import TERMS, Curve
from recommender.numeric.ranking_metrics import per_case

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
STEPS = 150


@dataclass(frozen=True, slots=True, eq=False)
class TrainingCases:
    """Candidates of many cases, one after the other: `values` float32 [T, M] over TERMS; `lengths` int64
    [C], how many belong to each case; `target` int64 [C], which of these was chosen.
    """

    values: F32
    lengths: NDArray[np.int64]
    target: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.lengths)


def join_cases(parts: Sequence[tuple[F32, int]]) -> TrainingCases:
    """From (values float32 [T, K], position of the chosen one) of each case."""
    return TrainingCases(
        np.concatenate([values for values, _ in parts], axis=1),
        np.array([values.shape[1] for values, _ in parts], dtype=np.int64),
        np.array([position for _, position in parts], dtype=np.int64),
    )


def knots_of(values: F32, most: int) -> list[float]:
    """Where a term's curve may bend: quantiles of its values above 0, 0 itself first."""
    positive = values[values > 1e-6]
    if not most or len(positive) < 50:
        return [0.0]
    inner = np.quantile(positive, np.linspace(0.0, 1.0, most + 2)[1:-1])
    return [0.0, *(float(k) for k in np.unique(np.round(inner, 4)) if 0.001 < k < 0.999)]


def fit_curves(cases: TrainingCases, *, ridge: float, knots: int) -> dict[str, Curve]:
    """A curve for each term that varies among the candidates; the others say nothing here and get none."""
    bends = {
        i: knots_of(cases.values[i], knots)
        for i in range(len(TERMS))
        if float(np.ptp(cases.values[i])) > 1e-4
    }
    columns = [
        np.maximum(np.float32(0.0), cases.values[i] - np.float32(k)) for i, ks in bends.items() for k in ks
    ]
    if not columns:
        return {}
    slopes = _fit(np.stack(columns), cases, ridge)
    curves, at = {}, 0
    for i, ks in bends.items():
        own = slopes[at : at + len(ks)]
        at += len(ks)
        x = np.array([*ks, 1.0])
        y = np.maximum(0.0, x[:, None] - np.asarray(ks)) @ own
        curves[TERMS[i]] = Curve(tuple(np.round(x, 4).tolist()), tuple(np.round(y, 5).tolist()))
    return curves


def _fit(columns: F32, cases: TrainingCases, ridge: float) -> Floats:
    """float64 [F]: slopes of the log-odds; the ridge is on columns of unit spread."""
    spread = columns.std(axis=1, dtype=np.float64) + 1e-6
    columns /= spread[:, None].astype(np.float32)
    starts, n = cases.starts, len(cases)
    owner = np.repeat(np.arange(n), cases.lengths)
    chosen = starts + cases.target
    wanted = columns[:, chosen].sum(axis=1, dtype=np.float64)

    def loss(slopes: Floats) -> tuple[float, Floats]:
        score = (slopes.astype(np.float32) @ columns).astype(np.float64)
        highest = np.maximum.reduceat(score, starts)
        odds = np.exp(score - highest[owner])
        total = np.add.reduceat(odds, starts)
        likelihood = float((score[chosen] - highest - np.log(total)).sum())
        share = (odds / total[owner]).astype(np.float32)
        gradient = (columns @ share).astype(np.float64) - wanted + ridge * slopes
        return (0.5 * ridge * float(slopes @ slopes) - likelihood) / n, gradient / n

    found = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    fitted: Floats = found.x / spread
    return fitted


def scores_of(values: F32 | Floats, curves: Mapping[str, Curve], weights: Sequence[float]) -> Floats:
    """float64 [M]: weight × curve of each term added up; a term without a curve counts as it is."""
    score = np.zeros(values.shape[1])
    for i, term in enumerate(TERMS):
        curve = curves.get(term)
        if curve is not None:
            score += weights[i] * np.interp(values[i], curve.x, curve.y)
        elif weights[i]:
            score += weights[i] * values[i]
    return score


def ndcg_of(score: Floats, cases: TrainingCases) -> Floats:
    """float64 [C]: NDCG@10 of each case, ties at the middle."""
    starts = cases.starts
    own = np.repeat(score[starts + cases.target], cases.lengths)
    above = np.add.reduceat((score > own).astype(np.int64), starts)
    equal = np.add.reduceat((score == own).astype(np.int64), starts) - 1
    return per_case(1.0 + above + equal / 2)["ndcg_at_10"]
