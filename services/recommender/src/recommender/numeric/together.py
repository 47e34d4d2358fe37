"""Which assets are engaged with by the same buyers: item-to-item similarity by sparse algebra.

Two kinds. Cosine of the assets' buyer vectors, shrunk where few buyers speak (n / (n + shrinkage)), each
buyer weighted down by how much they read (a buyer of 300 assets says little about any two of them); after
Sarwar et al. 2001 and Deshpande & Karypis 2004, with inverse user frequency after Breese et al. 1998. And a
walk of three steps over the graph of buyers and assets, the popular pushed back (RP3beta: Paudel et al.
2017), which is kinder to the less known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.numeric.selection import top
from recommender.numeric.text_space import LastUsed


@dataclass(frozen=True, slots=True)
class TogetherSettings:
    """`neighbours` are kept for an asset; `latest` engagements of a buyer are read; decays in days."""

    neighbours: int = 100
    latest: int = 300
    shrinkage: float = 5.0
    half_life_days: float = 180.0
    walk_power: float = 0.8  # of the chances of a step
    walk_popularity: float = 0.6  # power of an asset's popularity that its strength is divided by


def engaged_together(
    buyer: NDArray[np.int64],
    asset: NDArray[np.int32],
    at: NDArray[np.float64],
    weight: NDArray[np.float64],
    assets: int,
    now: float,
    settings: TogetherSettings,
) -> sparse.csr_array:
    """float32 CSR [assets, assets], entries in (0, 1], zero diagonal. The pairs (buyer, asset) must be
    distinct.
    """
    _, people = np.unique(buyer, return_inverse=True)
    keep = _latest(people, at, settings.latest)
    people, asset, at, weight = people[keep], asset[keep], at[keep], weight[keep]
    n_people = int(people.max()) + 1 if len(people) else 0
    decayed = np.exp2(-(now - at) / (settings.half_life_days * 86_400.0))
    read = np.bincount(people, minlength=n_people)
    say = 1.0 / np.sqrt(np.maximum(1.0, read))[people]
    value = np.log1p(weight) * say * np.sqrt(decayed)
    matrix = sparse.csr_array((value, (people, asset)), shape=(n_people, assets))
    ones = sparse.csr_array((np.ones(len(asset)), (people, asset)), shape=(n_people, assets))
    product = sparse.csr_array(matrix.T @ matrix)
    common = sparse.csr_array(ones.T @ ones)
    product.sort_indices()
    common.sort_indices()
    norm = np.sqrt(product.diagonal())
    norm[norm == 0] = 1.0
    cosine = _scaled(product, 1.0 / norm, 1.0 / norm)
    cosine.data *= common.data / (common.data + settings.shrinkage)
    return strongest(cosine, settings.neighbours)


def walked_to(
    buyer: NDArray[np.int64],
    asset: NDArray[np.int32],
    at: NDArray[np.float64],
    assets: int,
    settings: TogetherSettings,
) -> sparse.csr_array:
    """float32 CSR [assets, assets], entries above 0, zero diagonal: where a walk from the row over a buyer to
    another asset ends. The pairs (buyer, asset) must be distinct.
    """
    _, people = np.unique(buyer, return_inverse=True)
    keep = _latest(people, at, settings.latest)
    people, asset = people[keep], asset[keep]
    n_people = int(people.max()) + 1 if len(people) else 0
    read = np.maximum(1, np.bincount(people, minlength=n_people))[people]
    liked = np.maximum(1.0, np.bincount(asset, minlength=assets))
    steps = sparse.csr_array((read ** (-settings.walk_power / 2), (people, asset)), shape=(n_people, assets))
    product = sparse.csr_array(steps.T @ steps)
    product.sort_indices()
    return strongest(
        _scaled(product, liked**-settings.walk_power, liked**-settings.walk_popularity), settings.neighbours
    )


def _scaled(
    matrix: sparse.csr_array, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> sparse.csr_array:
    """Each entry times its row's and its column's factor."""
    values = matrix.data * np.repeat(rows, np.diff(matrix.indptr)) * columns[matrix.indices]
    return sparse.csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def _latest(people: NDArray[np.int64], at: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Positions of each person's `most` latest rows, ascending."""
    order = np.lexsort((-at, people))
    ranked = people[order]
    start = np.searchsorted(ranked, ranked, side="left")
    kept = order[np.arange(len(order)) - start < most]
    kept.sort()
    return kept


def strongest(matrix: sparse.csr_array, most: int) -> sparse.csr_array:
    """The `most` strongest entries of each row, float32, without the diagonal."""
    kept_columns, kept_values, pointers = [], [], [0]
    for row in range(matrix.shape[0]):
        start, end = matrix.indptr[row], matrix.indptr[row + 1]
        columns, value = matrix.indices[start:end], matrix.data[start:end].copy()
        value[columns == row] = 0.0
        best = np.sort(top(value, most))
        best = best[value[best] > 0]
        kept_columns.append(columns[best])
        kept_values.append(value[best].astype(np.float32))
        pointers.append(pointers[-1] + len(best))
    if not kept_columns:
        return sparse.csr_array(np.zeros(matrix.shape, dtype=np.float32))
    parts = (np.concatenate(kept_values), np.concatenate(kept_columns), np.asarray(pointers))
    return sparse.csr_array(parts, shape=matrix.shape)


def _entry_keys(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """int64 [entries], ascending: row · size + column of each entry, to find many entries with one search."""
    source = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return source * matrix.shape[0] + matrix.indices


entry_keys: LastUsed[sparse.csr_array, NDArray[np.int64]] = LastUsed(_entry_keys)
