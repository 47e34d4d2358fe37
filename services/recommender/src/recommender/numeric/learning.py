"""Fits the blend to a log: a multinomial logit over the candidates of each case, with a curve for each
term.

Each term's share of the score is a piecewise linear function of the term's value, so that the fitted
blend is as additive, and as explainable, as the plain one. Fitted by maximum likelihood with a ridge
(McFadden 1974).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recommender.domain.ranking_config import TERMS, Curve
from recommender.numeric.asset_terms import PROVEN_BUYERS
from recommender.numeric.ranking_metrics import per_case

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
STEPS = 100
UNPROVEN = TERMS.index("unproven")
COLD_FROM = float(np.exp(-2.5 / PROVEN_BUYERS))
"""`unproven` above this: fewer than three buyers."""


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

    @property
    def cold(self) -> NDArray[np.bool_]:
        """bool [C]: the chosen asset had been engaged with by fewer than three buyers."""
        cold: NDArray[np.bool_] = self.values[UNPROVEN, self.starts + self.target] > COLD_FROM
        return cold

    def __len__(self) -> int:
        return len(self.lengths)


def join_cases(parts: Sequence[tuple[F32, int]]) -> TrainingCases:
    """From (values float32 [T, K], position of the chosen one) of each case."""
    return TrainingCases(
        np.concatenate([values for values, _ in parts], axis=1),
        np.array([values.shape[1] for values, _ in parts], dtype=np.int64),
        np.array([position for _, position in parts], dtype=np.int64),
    )


def joined(cases: Sequence[TrainingCases]) -> TrainingCases:
    """All of these one after the other."""
    return TrainingCases(
        np.concatenate([c.values for c in cases], axis=1),
        np.concatenate([c.lengths for c in cases]),
        np.concatenate([c.target for c in cases]),
    )


def knots_of(values: F32, most: int) -> list[float]:
    """Where a term's curve may bend: quantiles of its values above 0, 0 itself first."""
    positive = values[values > 1e-6]
    if not most or len(positive) < 50:
        return [0.0]
    inner = np.quantile(positive, np.linspace(0.0, 1.0, most + 2)[1:-1])
    return [0.0, *(float(k) for k in np.unique(np.round(inner, 4)) if 0.001 < k < 0.999)]


@dataclass(frozen=True, slots=True)
class Blend:
    """A score by terms: curve(value) + unproven × unproven_curve(value), added up over `curves`."""

    curves: Mapping[str, Curve]
    unproven: Mapping[str, Curve]

    def scores(self, values: F32 | Floats) -> Floats:
        """float64 [M] from term values [T, M]."""
        weights = [1.0 if term in self.curves else 0.0 for term in TERMS]
        return scores_of(values, self.curves, weights, self.unproven)


def fit_curves(
    cases: TrainingCases,
    *,
    ridge: float,
    knots: int,
    unproven_knots: int | None = None,
    cold_weight: float = 1.0,
) -> Blend:
    """A curve for each term that varies among the candidates; the others say nothing here and get none.

    With `unproven_knots` each term gets a second curve, which counts the more the less proven an asset is.
    `cold_weight`: how much a case counts whose chosen asset nobody had engaged with, one of a proven asset
    counting 1: the log holds few choices of assets that were not shown to many, and these few are what
    teaches how to find the others (inverse propensity, Schnabel et al. 2016).
    """
    bends = {
        i: knots_of(cases.values[i], knots)
        for i in range(len(TERMS))
        if float(np.ptp(cases.values[i])) > 1e-4
    }
    if not bends:
        return Blend({}, {})
    unproven = cases.values[UNPROVEN]
    second = {}
    if unproven_knots is not None and UNPROVEN in bends:
        second = {i: knots_of(cases.values[i], unproven_knots) for i in bends if i != UNPROVEN}
    columns = np.empty(
        (sum(map(len, (*bends.values(), *second.values()))), cases.values.shape[1]), np.float32
    )
    at = 0
    for group, factor in ((bends, None), (second, unproven)):
        for i, ks in group.items():
            for k in ks:
                np.maximum(np.float32(0.0), cases.values[i] - np.float32(k), out=columns[at])
                if factor is not None:
                    columns[at] *= factor
                at += 1
    weights = 1.0 + (cold_weight - 1.0) * unproven[cases.starts + cases.target].astype(np.float64)
    slopes = iter(_fit(columns, cases, weights / weights.mean(), ridge).tolist())
    found = [
        {TERMS[i]: _curve(ks, [next(slopes) for _ in ks]) for i, ks in group.items()}
        for group in (bends, second)
    ]
    return Blend(*found)


def _curve(ks: Sequence[float], slopes: Sequence[float]) -> Curve:
    x = np.array([*ks, 1.0])
    y = np.maximum(0.0, x[:, None] - np.asarray(ks)) @ np.asarray(slopes)
    return Curve(tuple(np.round(x, 4).tolist()), tuple(np.round(y, 5).tolist()))


def _fit(columns: F32, cases: TrainingCases, weights: Floats, ridge: float) -> Floats:
    """float64 [F]: slopes of the log-odds; the ridge is on columns of unit spread. Changes `columns`."""
    spread = columns.std(axis=1, dtype=np.float64) + 1e-6
    columns /= spread[:, None].astype(np.float32)
    starts, n = cases.starts, len(cases)
    owner = np.repeat(np.arange(n), cases.lengths)
    chosen = starts + cases.target
    wanted = columns[:, chosen] @ weights

    def loss(slopes: Floats) -> tuple[float, Floats]:
        score = (slopes.astype(np.float32) @ columns).astype(np.float64)
        highest = np.maximum.reduceat(score, starts)
        odds = np.exp(score - highest[owner])
        total = np.add.reduceat(odds, starts)
        likelihood = float(weights @ (score[chosen] - highest - np.log(total)))
        share = (odds * (weights / total)[owner]).astype(np.float32)
        gradient = (columns @ share).astype(np.float64) - wanted + ridge * slopes
        return (0.5 * ridge * float(slopes @ slopes) - likelihood) / n, gradient / n

    found = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    fitted: Floats = found.x / spread
    return fitted


def scores_of(
    values: F32 | Floats,
    curves: Mapping[str, Curve],
    weights: Sequence[float],
    unproven_curves: Mapping[str, Curve] = MappingProxyType({}),
) -> Floats:
    """float64 [M]: weight × curve of each term added up; a term without a curve counts as it is."""
    score = np.zeros(values.shape[1])
    for i, term in enumerate(TERMS):
        if not weights[i]:
            continue
        curve, more = curves.get(term), unproven_curves.get(term)
        shaped = values[i] if curve is None else np.interp(values[i], curve.x, curve.y)
        if more is not None:
            shaped = shaped + values[UNPROVEN] * np.interp(values[i], more.x, more.y)
        score += weights[i] * shaped
    return score


def middle_ranks(score: Floats, cases: TrainingCases) -> Floats:
    """float64 [C]: the rank of each case's chosen one, ties at the middle."""
    starts = cases.starts
    own = np.repeat(score[starts + cases.target], cases.lengths)
    above = np.add.reduceat((score > own).astype(np.int64), starts)
    equal = np.add.reduceat((score == own).astype(np.int64), starts) - 1
    ranks: Floats = 1.0 + above + equal / 2
    return ranks


def ndcg_of(score: Floats, cases: TrainingCases) -> Floats:
    """float64 [C]: NDCG@10 of each case, ties at the middle."""
    return per_case(middle_ranks(score, cases))["ndcg_at_10"]
