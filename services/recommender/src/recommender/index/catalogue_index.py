"""The index that requests search: approximate over the rows it was built of, exact over later ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recommender.index.approximate import ApproximateIndex
from recommender.index.segmented import Found, SegmentedIndex, Vectors, merged


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueIndex:
    """Inner-product search over rows 0..N of a matrix float32 [N, d]; all of them exactly while there is no
    approximate index. Never changes once made; a row that died is simply no longer eligible.
    """

    dimension: int
    approximate: ApproximateIndex | None
    exact: SegmentedIndex

    @classmethod
    def empty(cls, dimension: int) -> CatalogueIndex:
        return cls(dimension, None, SegmentedIndex.empty(dimension))

    def __len__(self) -> int:
        return self.exact.first + len(self.exact)

    def grown_to(self, vectors: Vectors) -> CatalogueIndex:
        """Over all rows of `vectors` [N, d]; rows that this one holds must not have changed."""
        return replace(self, exact=self.exact.grown_to(vectors))

    def resting_on(self, approximate: ApproximateIndex, vectors: Vectors) -> CatalogueIndex:
        """With this approximate index over the first rows of `vectors` [N, d] and the rest exact."""
        rest = SegmentedIndex.empty(self.dimension, approximate.rows).grown_to(vectors)
        return CatalogueIndex(self.dimension, approximate, rest)

    def search(self, queries: Vectors, k: int, eligible: NDArray[np.bool_]) -> Found:
        """Best k eligible rows of each query. queries [Q, d], eligible [N].

        → (scores float32 [Q, k] falling, rows int64 [Q, k], -1 where there are fewer).
        """
        if self.approximate is None:
            return self.exact.search(queries, k, eligible)
        wanted = np.ascontiguousarray(queries, dtype=np.float32)
        parts = [self.approximate.search(wanted, k, eligible[: self.approximate.rows])]
        if len(self.exact):
            parts.append(self.exact.search(wanted, k, eligible))
        return merged(parts, k)
