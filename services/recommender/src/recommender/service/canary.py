"""A canary that asks the index for neighbours it knows, and compares with the exact answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Gauge

from recommender.numeric.candidates import ExactSearch, VectorSearch
from recommender.service.clock import Clock
from recommender.service.replica import CatalogueReplica

QUERIES = 8
DEPTH = 10


def recall(
    search: VectorSearch,
    vectors: NDArray[np.float32],
    eligible: NDArray[np.bool_],
    rng: np.random.Generator,
) -> float | None:
    """Share of the exact nearest that `search` finds for some of the vectors [N, d]; None without any.

    Scores are compared rather than rows, as among equals neither answer is wrong; and taken anew from the
    vectors, as an approximate index scores in half precision.
    """
    rows = np.flatnonzero(eligible)
    if not len(rows):
        return None
    queries = vectors[rng.choice(rows, size=min(QUERIES, len(rows)), replace=False)]
    depth = min(DEPTH, len(rows))
    exact, _ = ExactSearch(vectors).search(queries, depth, eligible)
    _, found = search.search(queries, depth, eligible)
    scores = np.einsum("qkd,qd->qk", vectors[found], queries)
    return float(((found >= 0) & (scores >= exact[:, -1:] - 1e-5)).mean())


class Canary:
    """`step` asks this replica's index once; other queries every time, the same ones in every process."""

    def __init__(self, replica: CatalogueReplica, clock: Clock, gauge: Gauge) -> None:
        self._replica = replica
        self._clock = clock
        self._gauge = gauge
        self._rng = np.random.default_rng(0)

    def step(self) -> None:
        snapshot = self._replica.snapshot
        catalogue = snapshot.catalogue
        eligible = catalogue.eligible(self._clock().timestamp()) & catalogue.has_vector
        share = recall(snapshot.index, catalogue.vectors, eligible, self._rng)
        if share is not None:
            self._gauge.set(share)
