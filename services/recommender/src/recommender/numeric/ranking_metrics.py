"""Figures of a ranking evaluation: recall, NDCG, reciprocal rank, coverage, and intervals by bootstrap
over buyers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOP = 10
RESAMPLES = 1_000


def rank_of(scores: NDArray[np.floating], position: int) -> float:
    """The rank, from 1, that a position's score gives it; among equals the middle one, as chance would."""
    own = scores[position]
    above = int((scores > own).sum())
    equal = int((scores == own).sum()) - 1
    return 1.0 + above + equal / 2


def per_case(ranks: Floats) -> dict[str, Floats]:
    """Recall, NDCG and reciprocal rank of each case with one right answer; inf: it was not in the answer.

    A rank between two places (a tie) counts for what it would be worth if rounded up.
    """
    place = np.ceil(ranks)
    hit = place <= TOP
    return {
        "recall_at_10": hit.astype(np.float64),
        "ndcg_at_10": np.where(hit, 1.0 / np.log2(1.0 + np.minimum(place, TOP)), 0.0),
        "mrr": np.where(np.isfinite(ranks), 1.0 / np.where(np.isfinite(ranks), ranks, 1.0), 0.0),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """How often each buyer is drawn in each resample: float32 [RESAMPLES, buyers]; the same for every
    method.
    """

    buyer: NDArray[np.int64]  # [cases], 0 … buyers − 1
    draws: NDArray[np.float32]

    def means(self, values: Floats, chosen: NDArray[np.bool_] | None = None) -> Floats:
        """float64 [RESAMPLES]: the mean over the cases of the drawn buyers."""
        weight = np.ones(len(values)) if chosen is None else chosen.astype(np.float64)
        buyers = self.draws.shape[1]
        sums = np.bincount(self.buyer, weights=values * weight, minlength=buyers)
        counts = np.bincount(self.buyer, weights=weight, minlength=buyers)
        means: Floats = (self.draws @ sums) / np.maximum(self.draws @ counts, 1e-12)
        return means

    def interval(self, values: Floats, chosen: NDArray[np.bool_] | None = None) -> tuple[float, float]:
        low, high = np.quantile(self.means(values, chosen), [0.025, 0.975])
        return float(low), float(high)

    def ratio_interval(self, values: Floats, other: Floats) -> tuple[float, float]:
        """Of the ratio of two methods' means over the same draws of buyers."""
        ratio = self.means(values) / np.maximum(self.means(other), 1e-12)
        low, high = np.quantile(ratio, [0.025, 0.975])
        return float(low), float(high)


def resampling(buyers: NDArray[np.int64], rng: np.random.Generator) -> Resampling:
    """Draw as many buyers as there are, with replacement, RESAMPLES times."""
    names, index = np.unique(buyers, return_inverse=True)
    n = len(names)
    draws = rng.multinomial(n, np.full(n, 1.0 / n), size=RESAMPLES) if n else np.zeros((RESAMPLES, 0))
    return Resampling(index.astype(np.int64), draws.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class MethodResult:
    """`ranks` float64 [cases], inf where not in the answer; `covered`: rows that were in any top 10."""

    name: str
    ranks: Floats
    covered: NDArray[np.bool_]


def summary(
    result: MethodResult, draws: Resampling, groups: Mapping[str, NDArray[np.bool_]]
) -> dict[str, object]:
    """One row of the table; `groups` give Recall@10 on some of the cases (cold assets, new buyers…)."""
    figures = per_case(result.ranks)
    row: dict[str, object] = {"name": result.name}
    row |= {name: float(values.mean()) if len(values) else 0.0 for name, values in figures.items()}
    row["coverage_at_10"] = float(result.covered.mean()) if len(result.covered) else 0.0
    row["cases"] = len(result.ranks)
    row["ci"] = {name: list(draws.interval(values)) for name, values in figures.items()}
    hits = figures["recall_at_10"]
    row["groups"] = {
        name: {
            "cases": int(chosen.sum()),
            "hits": int(hits[chosen].sum()),
            "recall_at_10": float(hits[chosen].mean()) if chosen.any() else None,
            "ndcg_at_10": float(figures["ndcg_at_10"][chosen].mean()) if chosen.any() else None,
            "ci": list(draws.interval(hits, chosen)) if chosen.any() else None,
        }
        for name, chosen in groups.items()
    }
    return row
