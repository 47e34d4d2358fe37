"""Like-minded readers: where buyers and assets lie in a space of taste, and what the readers nearby chose
lately.

The space is a truncated singular value decomposition of the buyers × assets matrix. A buyer lies at the
weighted mean of what they engaged with, so someone new has a place after the first engagement, without a
refit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
FACTORS = 32
RECENT_SECONDS = 21 * 86_400.0
MOST_RECENT = 4_000
SPARE, ROUNDS = 32, 8


@dataclass(frozen=True, slots=True, eq=False)
class Kindred:
    """`assets` float32 [A, F], the assets' directions, their columns orthonormal over all assets;
    `readers` float32 [P, F], unit norm or zeros, by `reader_of[buyer]`.

    Recent first engagements, oldest first: `asset` int32 [R], `at` float64 [R], `reader` float32 [R,
    F].
    """

    assets: F32
    readers: F32
    reader_of: Mapping[int, int]
    asset: NDArray[np.int32]
    at: Floats
    reader: F32

    def place(self, index: NDArray[np.int32], weights: Floats) -> F32:
        """float32 [F]: where a buyer lies who engaged with these assets; zeros where nothing is known.

        Its product with an asset's direction is what the decomposition expects of the pair (PureSVD:
        Cremonesi, Koren & Turrin 2010).
        """
        known = (index >= 0) & (index < len(self.assets))
        place: F32 = weights[known].astype(np.float32) @ self.assets[index[known]]
        return place

    def chosen_nearby(self, place: F32, size: int, half_life: float, now: float) -> Floats:
        """float64 [size + 1] by asset: engagements of like-minded readers, decayed; the last entry is 0."""
        norm = float(np.linalg.norm(place))
        if norm <= 0:
            return np.zeros(size + 1)
        near = np.maximum(self.reader @ (place / np.float32(norm)), 0.0).astype(np.float64)
        decayed = near * near * np.exp2(-np.maximum(0.0, now - self.at) / half_life)
        return np.bincount(self.asset, weights=decayed, minlength=size + 1).astype(np.float64)

    def with_recent(self, buyer: NDArray[np.int64], asset: NDArray[np.int32], at: Floats) -> Kindred:
        """The same space with newer first engagements, oldest first."""
        nobody = np.zeros(self.readers.shape[1], dtype=np.float32)
        rows = [self.readers[r] if (r := self.reader_of.get(int(b), -1)) >= 0 else nobody for b in buyer]
        if not rows:
            return self
        keep = slice(max(0, len(self.at) + len(rows) - MOST_RECENT), None)
        return Kindred(
            self.assets,
            self.readers,
            self.reader_of,
            np.concatenate([self.asset, asset])[keep].astype(np.int32),
            np.concatenate([self.at, at])[keep],
            np.concatenate([self.reader, np.stack(rows)])[keep],
        )


def no_kindred() -> Kindred:
    none, ints = np.empty((0, FACTORS), dtype=np.float32), np.empty(0, dtype=np.int32)
    return Kindred(none, none, {}, ints, np.empty(0), none)


def learn_kindred(
    buyer: NDArray[np.int64], asset: NDArray[np.int32], at: Floats, weight: Floats, assets: int, now: float
) -> Kindred:
    """Fit the space on distinct pairs of buyer and asset, by time; FACTORS or fewer where the log is
    small.
    """
    names, people = np.unique(buyer, return_inverse=True)
    read = np.maximum(1, np.bincount(people, minlength=len(names)))
    liked = np.maximum(1, np.bincount(asset, minlength=assets))
    value = np.log1p(weight) / np.sqrt(read[people] * liked[asset])
    matrix = sparse.csr_array((value, (people, asset)), shape=(len(names), assets))
    factors = min(FACTORS, min(matrix.shape) - 1)
    if factors < 2:
        return no_kindred()
    items = np.ascontiguousarray(_directions(matrix, factors).T, dtype=np.float32)
    ones = sparse.csr_array((np.log1p(weight), (people, asset)), shape=(len(names), assets))
    readers = _unit(np.asarray(ones @ items))
    recent = np.flatnonzero(at >= now - RECENT_SECONDS)[-MOST_RECENT:]
    return Kindred(
        items,
        readers,
        {int(name): i for i, name in enumerate(names)},
        asset[recent].astype(np.int32),
        at[recent],
        readers[people[recent]],
    )


def _directions(matrix: sparse.csr_array, factors: int) -> Floats:
    """float64 [factors, A], orthonormal: the strongest right singular directions.

    By subspace iteration from a fixed start (Halko, Martinsson & Tropp 2011). ARPACK, which scipy's svds
    calls, keeps a random state from one call to the next: where singular values lie close, the same log gave
    other directions each time.
    """
    width = min(factors + SPARE, *matrix.shape)
    basis = matrix @ np.random.default_rng(0).normal(size=(matrix.shape[1], width))
    basis = _orthonormal(basis)
    for _ in range(ROUNDS):
        basis = _orthonormal(matrix @ _orthonormal(matrix.T @ basis))
    _, _, directions = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    strongest: Floats = directions[:factors]
    return strongest


def _orthonormal(columns: Floats) -> Floats:
    """scipy's, since numpy's holds Python's lock for its whole time: requests would wait for it."""
    basis, _ = linalg.qr(columns, mode="economic", check_finite=False)
    return np.asarray(basis, dtype=np.float64)


def _unit(rows: NDArray[np.floating]) -> F32:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: F32 = np.divide(rows, norm, out=np.zeros(rows.shape), where=norm > 1e-12).astype(np.float32)
    return unit
