"""Two models' vectors of the same assets, held against each other before one takes the other's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recommender.numeric.candidates import ExactSearch, VectorSearch

QUERIES = 200
DEPTH = 10
_TIE = 1e-4
# An index that loses more than this finds other assets than the nearest.
LEAST_RECALL = 0.95
# Below this a model tells near from far hardly better than chance: all its texts are alike to it.
LEAST_SEPARATION = 0.02
# Chance alone gives depth / assets; a model that reads the texts gives several times that.
LEAST_OVERLAP_OVER_CHANCE = 3.0
# Half of all assets' stage may change hands; more means that one of the two models reads none.
MOST_STAGE_SHIFT = 0.5
# Fewer assets say nothing about neighbours.
_FEW_ASSETS = 50


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """How a coming model's index compares with the one that serves, over `assets` that both have.

    `overlap`: share of the coming model's nearest that are among the serving model's nearest.
    `score_shift`: change of the mean similarity of the nearest. `separation`: how much more similar the
    coming model finds the nearest than any two assets. `stage_shift`: total variation, 0 to 1, between the
    shares of the buying stages that the two models give the catalogue. `recall`: share of the exact nearest
    that the coming index finds. `findings`: a sentence for each limit that is passed.
    """

    assets: int
    overlap: float
    score_shift: float
    separation: float
    stage_shift: float
    recall: float
    findings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.findings


def compare_models(
    live: NDArray[np.float32],
    coming: NDArray[np.float32],
    coming_index: VectorSearch,
    live_stages: NDArray[np.float32],
    coming_stages: NDArray[np.float32],
    rng: np.random.Generator,
) -> ModelComparison:
    """live [N, d1] and coming [N, d2] unit vectors of the same assets; stages float32 [N, S]."""
    count = len(coming)
    if count < 2:
        return ModelComparison(count, 1.0, 0.0, 1.0, 0.0, 1.0)
    depth = min(DEPTH, count - 1)
    queries = rng.choice(count, size=min(QUERIES, count), replace=False)
    everything = np.ones(count, dtype=np.bool_)
    recall = _recall(coming, coming_index, queries, depth, everything)
    old = live[queries] @ live.T
    new = coming[queries] @ coming.T
    for similarities in (old, new):  # an asset is no neighbour of its own
        similarities[np.arange(len(queries)), queries] = -np.inf
    nearest = np.argpartition(-new, depth - 1, axis=1)[:, :depth]
    enough = -np.partition(-old, depth - 1, axis=1)[:, depth - 1 : depth]
    overlap = float((np.take_along_axis(old, nearest, axis=1) >= enough - _TIE).mean())
    score = float(np.take_along_axis(new, nearest, axis=1).mean())
    before = float(-np.partition(-old, depth - 1, axis=1)[:, :depth].mean())
    usual = float(new[np.isfinite(new)].mean())
    stage_shift = 0.5 * float(np.abs(live_stages.mean(axis=0) - coming_stages.mean(axis=0)).sum())
    found = ModelComparison(count, overlap, score - before, score - usual, stage_shift, recall)
    return replace(found, findings=tuple(_findings(found, depth)))


def _recall(
    vectors: NDArray[np.float32],
    index: VectorSearch,
    queries: NDArray[np.int64],
    depth: int,
    everything: NDArray[np.bool_],
) -> float:
    exact, _ = ExactSearch(vectors).search(vectors[queries], depth, everything)
    found, _ = index.search(vectors[queries], depth, everything)
    return float((found >= exact[:, -1:] - _TIE).mean())


def _findings(found: ModelComparison, depth: int) -> Sequence[str]:
    told = []
    if found.recall < LEAST_RECALL:
        told.append(f"its index finds {found.recall:.0%} of the nearest, {LEAST_RECALL:.0%} is the least")
    if found.assets < _FEW_ASSETS:
        return told
    if found.separation < LEAST_SEPARATION:
        told.append(f"its nearest are only {found.separation:.3f} more alike than any two assets")
    chance = min(0.5, LEAST_OVERLAP_OVER_CHANCE * depth / found.assets)
    if found.overlap < chance:
        told.append(f"it shares {found.overlap:.1%} of the nearest, which is next to chance")
    if found.stage_shift > MOST_STAGE_SHIFT:
        told.append(f"{found.stage_shift:.0%} of the catalogue's buying stages would change")
    return told
