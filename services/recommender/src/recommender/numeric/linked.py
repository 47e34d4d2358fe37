"""What a buyer's engagements together say of other assets, by weights between assets and by their texts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.domain.catalogue import Catalogue
from recommender.numeric.text_space import Kept

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """What a buyer's engagements say of each asset, the last entry 0; arrays of one entry say nothing.

    `links` float32 [M + 1], below 0 against it; `words` float64 [M + 1], cubes of how alike in words.
    """

    links: F32
    words: Floats


SILENCE = Spoken(np.zeros(1, dtype=np.float32), np.zeros(1))


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """The arrays run over `asset_ids`.

    `weights` float32 [M, M]: by how much an engagement with the row speaks for (below 0: against) the column,
    everything else engaged with being taken into account; zero diagonal. `words` float32 CSR [M, M]: cubes of
    how alike two texts are in words. `near` int32 [M + 1, NEAREST] and `nearness` float32 of the same shape,
    rows adding up to 1 or 0: whose texts are nearest. `promise` float64 [M + 1], 0 to 1: how many engaged
    with texts like it. The last row is nobody's.
    """

    asset_ids: tuple[str, ...]
    weights: F32
    words: sparse.csr_array
    near: NDArray[np.int32]
    nearness: F32
    promise: Floats
    _places: Kept[Catalogue, NDArray[np.int32]] = field(init=False, default_factory=Kept)
    _known_rows: Kept[Catalogue, Rows] = field(init=False, default_factory=Kept)

    def rows(self, catalogue: Catalogue) -> Rows:
        """int64 [M]: the row of each of `asset_ids`, -1 where there is none."""
        return self._known_rows.of(catalogue, self._rows)

    def places(self, catalogue: Catalogue) -> NDArray[np.int32]:
        """int32 [N]: where each living row stands in `asset_ids`, -1 where it doesn't."""
        return self._places.of(catalogue, self._place)

    def _rows(self, catalogue: Catalogue) -> Rows:
        return np.array([catalogue.row_of.get(a, -1) for a in self.asset_ids], dtype=np.int64)

    def _place(self, catalogue: Catalogue) -> NDArray[np.int32]:
        place = np.full(len(catalogue), -1, dtype=np.int32)
        rows = self.rows(catalogue)
        place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        return place

    def spoken_for(self, places: NDArray[np.int32], weights: Floats) -> Spoken:
        """What engagements with assets at these places [E], which weigh `weights` [E], say of the others."""
        known = places >= 0
        if not known.any():
            return SILENCE
        places, size = places[known], len(self.asset_ids)
        links = np.zeros(size + 1, dtype=np.float32)
        np.matmul(weights[known].astype(np.float32), self.weights[places], out=links[:-1])
        if not self.words.nnz:
            return Spoken(links, SILENCE.words)
        columns, cubes, _ = entries(self.words, places)
        return Spoken(links, np.bincount(columns, weights=cubes, minlength=size + 1).astype(np.float64))

    def carried(self, links: F32, places: NDArray[np.int32]) -> F32:
        """float32 [K]: what `links` [M + 1] say of the texts nearest to those at `places` [K]."""
        said: F32 = np.einsum("kn,kn->k", links.take(self.near[places]), self.nearness[places])
        return said


def entries(
    matrix: sparse.csr_array, rows: NDArray[np.int32]
) -> tuple[NDArray[np.int32], F32, NDArray[np.int32]]:
    """Columns and values of these rows' entries, one row after the other, and how many each has: for the few
    rows of one buyer quicker than a product of sparse matrices.
    """
    first = matrix.indptr[rows]
    counts = matrix.indptr[rows + 1] - first
    ends = np.cumsum(counts)
    place = np.arange(ends[-1]) + np.repeat(first - ends + counts, counts)
    return matrix.indices.take(place), matrix.data.take(place), counts


def no_links() -> Linked:
    return without_texts((), np.zeros((0, 0), dtype=np.float32))


def without_texts(asset_ids: tuple[str, ...], weights: F32) -> Linked:
    size = len(asset_ids)
    return Linked(
        asset_ids,
        weights,
        sparse.csr_array(sparse.coo_array((size, size), dtype=np.float32)),
        np.full((size + 1, 1), -1, dtype=np.int32),
        np.zeros((size + 1, 1), dtype=np.float32),
        np.zeros(size + 1),
    )
