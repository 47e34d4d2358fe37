"""Where candidates come from: nearest vectors, engaged together, popular, fresh and fitting the stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.numeric.behaviour import AlignedBehaviour
from recommender.numeric.selection import top

F32 = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
FRESH_DEPTH = 1_000


class VectorSearch(Protocol):
    def search(self, queries: F32, k: int, eligible: Mask) -> tuple[F32, Rows]:
        """The k eligible rows of highest inner product with each query, best first, ties by row.

        queries float32 [Q, d]; eligible bool [N]; returns scores float32 [Q, k] and rows int64 [Q, k], -1
        padded. The answer to a query must not depend on the other queries of the call.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ExactSearch:
    """The obvious search: every inner product. Judges the approximate ones. `vectors` float32 [N, d]."""

    vectors: F32

    def search(self, queries: F32, k: int, eligible: Mask) -> tuple[F32, Rows]:
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        allowed = np.flatnonzero(eligible)
        for i, query in enumerate(
            queries
        ):  # one at a time, so that a batch gives the single answers to the bit
            products = self.vectors @ query
            best = allowed[top(products[allowed], k)]
            rows[i, : len(best)] = best
            scores[i, : len(best)] = products[best]
        return scores, rows


def fresh_rows(catalogue: Catalogue) -> Rows:
    """Living rows, newest first, at most FRESH_DEPTH, and those due later in front: eligibility sorts them
    out.
    """
    rows = np.flatnonzero(catalogue.alive & catalogue.approved)
    return rows[top(catalogue.published_at[rows], FRESH_DEPTH)]


class Pool:
    """The eligible rows that requests with the same filter and rules share, with their common orderings."""

    def __init__(
        self, eligible: Mask, catalogue: Catalogue, behaviour: AlignedBehaviour, fresh: Rows
    ) -> None:
        self.eligible = eligible
        self._catalogue, self._behaviour, self._fresh = catalogue, behaviour, fresh
        self._rows: Rows | None = None
        self._orders: dict[tuple[str, int], Rows] = {}

    def rows(self) -> Rows:
        """Every eligible row, ascending."""
        if self._rows is None:
            self._rows = np.flatnonzero(self.eligible).astype(np.int64)
        return self._rows

    def popular(self, h: int) -> Rows:
        """By popularity at half-life h, those that nobody engaged with left out."""
        popularity = self._behaviour.popularity[:, h]
        return self._order("popular", h, self._behaviour.popular_rows(h), popularity, above=0.0)

    def fitting(self, stage: int) -> Rows:
        """By fit to a content stage, the popular ones first among equals."""
        return self._order("stage", stage, self._behaviour.stage_rows(stage), self._catalogue.stage[:, stage])

    def fresh(self) -> Rows:
        """Newest first."""
        return self._order("fresh", 0, self._fresh, self._catalogue.published_at)

    def _order(
        self,
        name: str,
        which: int,
        known: Rows,
        values: NDArray[np.floating],
        above: float = -np.inf,
    ) -> Rows:
        """The catalogue's own ordering, filtered; sorted anew, of values over `above`, where a filter leaves
        too little of it.
        """
        key = (name, which)
        if key not in self._orders:
            order = known[self.eligible[known]]
            if len(order) < len(known) // 2:
                rows = self.rows()
                order = rows[top(values[rows], len(known))]
                order = order[values[order] > above]
            self._orders[key] = order
        return self._orders[key]


def merge(sources: Iterable[tuple[Rows, int]], blocked: Mask, width: int) -> Rows:
    """One list out of many: int64, at most `width` distinct rows, none blocked, ascending.

    Each source is (rows best first, quota); its first `quota` unblocked rows count. Where the lists together
    hold more than `width`, a row's place in its best list, relative to the quota, decides.
    """
    kept, places = [], []
    for rows, quota in sources:
        free = rows[~blocked[rows]][:quota] if len(rows) <= 4 * quota else _first_free(rows, blocked, quota)
        if len(free):
            kept.append(free)
            places.append(np.arange(len(free)) / quota)
    if not kept:
        return np.empty(0, dtype=np.int64)
    all_rows, place = np.concatenate(kept), np.concatenate(places)
    order = np.lexsort((all_rows, place))
    _, first = np.unique(all_rows[order], return_index=True)
    first.sort()
    chosen = all_rows[order[first[:width]]]
    chosen.sort()
    return chosen


def _first_free(rows: Rows, blocked: Mask, quota: int) -> Rows:
    head = rows[: 4 * quota]
    free = head[~blocked[head]]
    return free[:quota] if len(free) >= quota else rows[~blocked[rows]][:quota]
