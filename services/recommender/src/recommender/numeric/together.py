"""Which assets are engaged with by the same buyers: item-to-item similarity by sparse algebra.

Cosine of the assets' buyer vectors, shrunk where few buyers speak (n / (n + shrinkage)), each buyer weighted
down by how much they read (a buyer of 300 assets says little about any two of them); after Sarwar et al. 2001
and Deshpande & Karypis 2004, with inverse user frequency after Breese et al. 1998.
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
    return _strongest(product, common.data, norm, settings)


def _latest(people: NDArray[np.int64], at: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Positions of each person's `most` latest rows, ascending."""
    order = np.lexsort((-at, people))
    ranked = people[order]
    start = np.searchsorted(ranked, ranked, side="left")
    kept = order[np.arange(len(order)) - start < most]
    kept.sort()
    return kept


def _strongest(
    product: sparse.csr_array,
    common: NDArray[np.float64],
    norm: NDArray[np.float64],
    settings: TogetherSettings,
) -> sparse.csr_array:
    """Turn sums of products into shrunk cosines, row by row, and keep the strongest of each row."""
    kept_columns, kept_values, pointers = [], [], [0]
    for row in range(product.shape[0]):
        start, end = product.indptr[row], product.indptr[row + 1]
        columns, both = product.indices[start:end], common[start:end]
        value = product.data[start:end] / (norm[row] * norm[columns]) * (both / (both + settings.shrinkage))
        value[columns == row] = 0.0
        best = np.sort(top(value, settings.neighbours))
        best = best[value[best] > 0]
        kept_columns.append(columns[best])
        kept_values.append(value[best].astype(np.float32))
        pointers.append(pointers[-1] + len(best))
    if not kept_columns:
        return sparse.csr_array(np.zeros(product.shape, dtype=np.float32))
    parts = (np.concatenate(kept_values), np.concatenate(kept_columns), np.asarray(pointers))
    return sparse.csr_array(parts, shape=product.shape)


def _entry_keys(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """int64 [entries], ascending: row · size + column of each entry, to find many entries with one search."""
    source = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return source * matrix.shape[0] + matrix.indices


entry_keys: LastUsed[sparse.csr_array, NDArray[np.int64]] = LastUsed(_entry_keys)
