"""From scored candidates to an answer: pins, diversity by maximal marginal relevance, caps, one slot of
chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.ranking_config import RerankSettings
from recommender.numeric.selection import top

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
NEAR_FROM = 0.5
"""Cosine of centred vectors from which two assets count as alike; 1 is the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Positions in the candidate list, in order; `penalty` what diversity took; `propensity` per place."""

    positions: tuple[int, ...]
    penalty: tuple[float, ...]
    propensity: tuple[float, ...]
    explored: bool


def pool_size(count: int, settings: RerankSettings, candidates: int) -> int:
    """How many of the best candidates are looked at when an answer of `count` is put together."""
    return min(candidates, 3 * count + 10 + settings.explore_pool)


def choose(
    score: Floats,
    vectors: NDArray[np.float32],
    group: NDArray[np.int32],
    kind: NDArray[np.int32],
    count: int,
    settings: RerankSettings,
    *,
    pinned: Sequence[int] = (),
    most_of_kind: int | None = None,
    quotas: Sequence[tuple[NDArray[np.bool_], int]] = (),
    unexplored: Floats,
    seed: int,
) -> Chosen:
    """Choose `count` of a pool of candidates.

    `score` float64 [P]; `vectors` float32 [P, d] centred, unit norm or zeros; `group` int32 [P]: equivalent
    forms, of which an answer holds one; `kind` int32 [P], of which it holds at most `most_of_kind`;
    `quotas`: (bool [P], how many of these it holds at most);
    `unexplored` float64 [P], higher where less is known. Maximal marginal relevance after Carbonell &
    Goldstein 1998, with a penalty for near-duplicates only. With chance `explore_share` the last place goes
    to one of the best `explore_pool` that were left over, the least explored half of them, each as likely;
    the propensities are exact.
    """
    free = np.isfinite(score)
    nearest = np.zeros(len(score))
    positions: list[int] = []
    penalties: list[float] = []
    kinds: dict[int, int] = {}
    left_of = [most for _, most in quotas]
    for members, most in quotas:
        if most == 0:
            free[members] = False

    def take(position: int, penalty: float) -> None:
        positions.append(position)
        penalties.append(penalty)
        free[group == group[position]] = False
        kinds[int(kind[position])] = kinds.get(int(kind[position]), 0) + 1
        if most_of_kind is not None and kinds[int(kind[position])] >= most_of_kind:
            free[kind == kind[position]] = False
        for i, (members, _) in enumerate(quotas):
            if members[position]:
                left_of[i] -= 1
                if left_of[i] == 0:
                    free[members] = False
        if settings.diversity:
            near = (vectors @ vectors[position]).astype(np.float64)
            np.maximum(nearest, np.clip((near - NEAR_FROM) / (1 - NEAR_FROM), 0.0, 1.0), out=nearest)

    for position in pinned[:count]:
        if free[position]:
            take(position, 0.0)
    pins = len(positions)
    exploration = _exploration(count, pins, settings)
    while len(positions) < count and free.any():
        if exploration and len(positions) == count - 1:
            break
        worth = np.where(free, score - settings.diversity * nearest, -np.inf)
        best = int(worth.argmax())
        take(best, -settings.diversity * float(nearest[best]))
    propensity = [1.0] * len(positions)
    if not (exploration and len(positions) == count - 1 and free.any()):
        return Chosen(tuple(positions), tuple(penalties), tuple(propensity), explored=False)
    worth = np.where(free, score - settings.diversity * nearest, -np.inf)
    best = int(worth.argmax())
    left = np.flatnonzero(free)
    likely = left[top(worth[left], settings.explore_pool)]
    pool = likely[top(unexplored[likely], max(1, len(likely) // 2))]
    rng = np.random.default_rng(seed)
    explored = bool(rng.random() < settings.explore_share)
    last = int(pool[rng.integers(len(pool))]) if explored else best
    chance = settings.explore_share / len(pool) * float(last in pool)
    propensity.append(chance + (1.0 - settings.explore_share) * float(last == best))
    take_penalty = -settings.diversity * float(nearest[last])
    return Chosen((*positions, last), (*penalties, take_penalty), tuple(propensity), explored=last != best)


def _exploration(count: int, pins: int, settings: RerankSettings) -> bool:
    return (
        settings.explore_share > 0
        and settings.explore_pool > 0
        and count >= settings.explore_from_count > pins
    )
