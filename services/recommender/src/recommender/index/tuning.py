"""Chooses how far an approximate search looks, by asking it for neighbours that exact search knows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.index.approximate import ApproximateIndex, Mask, Rows, Scores, Tuning, Vectors

NEIGHBOURS = 10
_QUERIES = 256
_DEPTHS = (50, 100, 200, 400, 800, 1_600)
_BLOCK = 100_000
# The choice is made a little above the floor, as other queries judge it.
_MARGIN = 0.002
_WIDER = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class KnownNeighbours:
    """Queries [Q, d] with the score of their exact 10th best usable row, float32 [Q, 1]."""

    queries: Vectors
    tenth: Scores

    def part(self, rows: slice) -> KnownNeighbours:
        return KnownNeighbours(self.queries[rows], self.tenth[rows])


def likely_queries(vectors: Vectors, usable: Mask, rng: np.random.Generator, count: int) -> Vectors:
    """float32 [count, d], unit norm: what a catalogue's index is asked for, made of the catalogue itself.

    A third are assets (a page's context), a third assets with the mean taken out, a third the sum of three
    assets near each other and one anywhere, with the mean taken out (what a buyer engaged with).
    """
    rows = np.flatnonzero(usable)
    sample = np.asarray(vectors[rng.choice(rows, size=min(2_000, len(rows)), replace=False)], np.float32)
    mean = sample.mean(axis=0)
    chosen = np.asarray(vectors[rng.choice(rows, size=count)], dtype=np.float32)
    kinds = np.arange(count) % 3
    chosen[kinds == 1] -= mean
    for row in np.flatnonzero(kinds == 2):
        near = np.argsort(-(sample @ chosen[row]))[: min(20, len(sample))]
        others = sample[rng.choice(near, size=2)].sum(axis=0) + sample[rng.integers(len(sample))]
        chosen[row] += others - 4 * mean
    norms = np.linalg.norm(chosen, axis=1, keepdims=True)
    return np.asarray(chosen / np.where(norms > 0, norms, 1), dtype=np.float32)


def known_neighbours(queries: Vectors, vectors: Vectors, usable: Mask) -> KnownNeighbours:
    """By every inner product, a block of rows at a time."""
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        scores = queries @ block.T
        scores[:, ~usable[start : start + _BLOCK]] = -np.inf
        best = np.concatenate([best, scores], axis=1)
        if best.shape[1] > NEIGHBOURS:
            best = -np.partition(-best, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return KnownNeighbours(queries, best.min(axis=1, keepdims=True))


def measured(
    index: ApproximateIndex, known: KnownNeighbours, vectors: Vectors, usable: Mask
) -> tuple[float, float]:
    """→ (share of the exact 10 nearest that is found, median microseconds a search).

    What is found is scored again in float32 and counts if it is as near as the 10th: among equals neither
    answer is wrong.
    """
    took = np.empty(len(known.queries))
    found = 0
    for i, query in enumerate(known.queries):
        started = time.perf_counter()
        _, rows = index.search(query[None, :], NEIGHBOURS, usable)
        took[i] = time.perf_counter() - started
        own: Rows = rows[0][rows[0] >= 0]
        scores = np.asarray(vectors[own], dtype=np.float32) @ query
        found += int((scores >= known.tenth[i] - 1e-6).sum())
    return min(1.0, found / (NEIGHBOURS * len(known.queries))), float(np.median(took) * 1e6)


def tuned(
    index: ApproximateIndex,
    vectors: Vectors,
    usable: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    floor: float,
) -> ApproximateIndex | None:
    """The index with the quickest search that finds `floor` of the 10 nearest of `vectors` [N, d].

    One half of the queries chooses, the other half judges; None where even every cell is not enough, or
    there are too few rows to tell.
    """
    if int(usable.sum()) <= max(NEIGHBOURS, index.few):
        return None
    known = known_neighbours(likely_queries(vectors, usable, rng, _QUERIES), vectors, usable)
    choosing, judging = known.part(slice(0, _QUERIES // 2)), known.part(slice(_QUERIES // 2, None))
    best: Tuning | None = None
    for depth in _DEPTHS:
        found = _fewest_probes(index, depth, choosing, vectors, usable, min(1.0, floor + _MARGIN))
        if found is not None and (best is None or found.microseconds < best.microseconds):
            best = found
        elif best is not None:
            break  # deeper only costs more from here on
    while best is not None:
        recall, microseconds = measured(index.tuned(best), judging, vectors, usable)
        if recall >= floor:
            return index.tuned(Tuning(best.probes, best.depth, recall, microseconds))
        if best.probes >= index.cells:
            return None
        best = Tuning(min(index.cells, int(best.probes * _WIDER) + 1), best.depth, 0.0, 0.0)
    return None


def _fewest_probes(
    index: ApproximateIndex,
    depth: int,
    known: KnownNeighbours,
    vectors: Vectors,
    usable: NDArray[np.bool_],
    wanted: float,
) -> Tuning | None:
    """By doubling until it is enough, then halving the step; None where all cells at this depth are not."""

    def at(probes: int) -> Tuning:
        recall, microseconds = measured(index.tuned(Tuning(probes, depth, 0.0, 0.0)), known, vectors, usable)
        return Tuning(probes, depth, recall, microseconds)

    if at(index.cells).recall < wanted:
        return None
    probes = 1
    while (found := at(min(probes, index.cells))).recall < wanted:
        probes *= 2
    low, high = probes // 2, min(probes, index.cells)
    while high - low > max(1, low // 4):
        middle = (low + high) // 2
        tried = at(middle)
        if tried.recall >= wanted:
            high, found = middle, tried
        else:
            low = middle
    return found
