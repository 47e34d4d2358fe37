"""Approximate FAISS search over the first rows of a catalogue: cells, 4-bit codes, half-precision refinement.

A query looks into the cells nearest to it, reads 4-bit codes there, and ranks the best of them by their
vectors in half precision. What is built never changes, so many requests search it without a lock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from recommender.index.segmented import nothing, one_thread

Vectors = NDArray[np.float32]
Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
# FAISS's type stubs describe the C++ signatures, not what its Python wrapper takes.
_library: Any = faiss
_MOST_CELLS = 16_384
_TRAINED_ON_PER_CELL = 64
_BITS = 4
_BLOCK = 50_000
FEW = 20_000
"""So many eligible rows are searched exactly, whatever the index."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How far a search looks: `probes` cells, the `depth` best codes refined for 10 results.

    `recall` is the share of the exact 10 nearest that was found for queries held back from the choice;
    `microseconds` the median time of a search while it was chosen.
    """

    probes: int
    depth: int
    recall: float
    microseconds: float


@dataclass(frozen=True, slots=True, eq=False)
class ApproximateIndex:
    """Inner-product search over rows 0..`rows` of a matrix float32 [rows, d].

    `coarse` is a faiss.IndexIVFPQFastScan over the rows that were usable, by row number; `precise` a
    faiss.IndexScalarQuantizer that holds every row in half precision; `joined` the two, refining.
    `trained_on` is how many rows there were when cells and codes were learnt.
    """

    rows: int
    coarse: Any
    precise: Any
    joined: Any
    trained_on: int
    tuning: Tuning
    few: int = FEW

    @property
    def cells(self) -> int:
        return int(self.coarse.nlist)

    def memory_bytes(self) -> int:
        """Bytes of codes, numbers and half-precision vectors; cells and lists beside them are small."""
        cells = self.cells * self.coarse.d * 4
        return int(self.rows * (self.precise.code_size + self.coarse.code_size + 8) + cells)

    def tuned(self, tuning: Tuning) -> ApproximateIndex:
        return replace(self, tuning=tuning)

    def search(self, queries: Vectors, k: int, eligible: Mask) -> tuple[Scores, Rows]:
        """Best k eligible rows of each query. queries [Q, d]; eligible bool [rows].

        → (scores float32 [Q, k] falling, rows int64 [Q, k], -1 where there are fewer). The fewer rows are
        eligible, the more cells are looked into; `few` or less are searched exactly.
        """
        one_thread()
        count = int(np.count_nonzero(eligible))
        bits = np.packbits(eligible, bitorder="little")
        selector = _library.IDSelectorBitmap(bits)
        exact = _library.SearchParameters(sel=selector)
        if count <= max(self.few, k):
            # One query a call: the answer to a query must not depend on what else is asked.
            found = [self.precise.search(query[None, :], k, params=exact) for query in queries]
        else:
            probes = min(self.cells, math.ceil(self.tuning.probes * self.rows / count))
            inner = _library.SearchParametersIVF(sel=selector, nprobe=probes)
            factor = max(self.tuning.depth, 2 * k) / k
            outer = _library.IndexRefineSearchParameters(k_factor=factor, base_index_params=inner)
            found = []
            for query in queries:
                scores, rows = self.joined.search(query[None, :], k, params=outer)
                if rows[0, -1] < 0:  # the cells held fewer than k eligible rows, and there are more
                    scores, rows = self.precise.search(query[None, :], k, params=exact)
                found.append((scores, rows))
        if not found:
            return nothing(0, k)
        return np.concatenate([s for s, _ in found]), np.concatenate([r for _, r in found])


def cells_for(rows: int) -> int:
    """A power of two near the root of the number of rows.

    Fewer and larger cells than usual: codes are read faster than cells are changed, and neighbours that lie
    over the border are what costs recall.
    """
    return int(min(_MOST_CELLS, 2 ** max(1, round(math.log2(math.sqrt(max(1, rows)))))))


def codes_for(dimension: int) -> int:
    """How many codes a vector gets: one for four dimensions where that comes out even."""
    return next(dimension // width for width in (4, 3, 2, 1) if dimension % width == 0)


def learnt(vectors: Vectors, usable: Mask, rng: np.random.Generator, *, few: int = FEW) -> ApproximateIndex:
    """Learn cells and codes from a sample of the usable rows of `vectors` [N, d], and take all of them in.

    Not tuned yet: it looks into every cell. Runs on the caller's thread alone.
    """
    one_thread()
    dimension = vectors.shape[1]
    known = np.flatnonzero(usable)
    coarse = _library.index_factory(
        dimension,
        f"IVF{cells_for(len(known))},PQ{codes_for(dimension)}x{_BITS}fs",
        _library.METRIC_INNER_PRODUCT,
    )
    coarse.cp.niter = 10
    coarse.cp.spherical = True
    coarse.cp.min_points_per_centroid = 1
    coarse.cp.max_points_per_centroid = _TRAINED_ON_PER_CELL
    coarse.cp.seed = int(rng.integers(1 << 30))
    sample = known
    if len(known) > _TRAINED_ON_PER_CELL * coarse.nlist:
        sample = np.sort(rng.choice(known, size=_TRAINED_ON_PER_CELL * coarse.nlist, replace=False))
    coarse.train(np.ascontiguousarray(vectors[sample], dtype=np.float32))
    precise = _library.IndexScalarQuantizer(
        dimension, _library.ScalarQuantizer.QT_fp16, _library.METRIC_INNER_PRODUCT
    )
    return _with_rows(coarse, precise, vectors, usable, 0, len(known), few)


def extended(index: ApproximateIndex, vectors: Vectors, usable: Mask) -> ApproximateIndex:
    """The same cells and codes over more rows of `vectors` [N, d], whose first rows it holds already.

    A copy takes the new rows: the index that serves stays as it is.
    """
    one_thread()
    coarse = _library.deserialize_index(_library.serialize_index(index.coarse))
    precise = _library.deserialize_index(_library.serialize_index(index.precise))
    grown = _with_rows(coarse, precise, vectors, usable, index.rows, index.trained_on, index.few)
    return grown.tuned(index.tuning)


def _with_rows(
    coarse: Any, precise: Any, vectors: Vectors, usable: Mask, start: int, trained_on: int, few: int
) -> ApproximateIndex:
    for first in range(start, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[first : first + _BLOCK], dtype=np.float32)
        precise.add(block)
        rows = np.flatnonzero(usable[first : first + _BLOCK])
        if len(rows):
            coarse.add_with_ids(block[rows], rows + first)
    everything = Tuning(coarse.nlist, 100, 0.0, 0.0)
    return _joined(coarse, precise, trained_on, everything, few)


def _joined(coarse: Any, precise: Any, trained_on: int, tuning: Tuning, few: int) -> ApproximateIndex:
    coarse.ntotal = precise.ntotal  # not every row is in the cells, and FAISS wants to see the same number
    joined = _library.IndexRefine(coarse, precise)
    return ApproximateIndex(int(precise.ntotal), coarse, precise, joined, trained_on, tuning, few)


@dataclass(frozen=True, slots=True, eq=False)
class KeptIndex:
    """Cells and codes of the first `rows` living rows, as a file holds them.

    `content` uint8, FAISS's own form; the vectors are not in it.
    """

    content: NDArray[np.uint8]
    rows: int
    trained_on: int
    tuning: Tuning


def kept(index: ApproximateIndex, new_row_of: Rows) -> KeptIndex:
    """For rows renumbered in their order: `new_row_of` int64 [N], N ≥ index.rows, -1 for what is gone."""
    one_thread()
    copy = _library.deserialize_index(_library.serialize_index(index.coarse))
    lists = copy.invlists
    for cell in range(copy.nlist):
        size = lists.list_size(cell)
        if size:
            ids = _library.rev_swig_ptr(lists.get_ids(cell), size)
            ids[:] = np.where(ids >= 0, new_row_of[ids], -1)
    rows = int(new_row_of[: index.rows].max(initial=-1)) + 1
    return KeptIndex(_library.serialize_index(copy), rows, index.trained_on, index.tuning)


def restored(kept: KeptIndex, vectors: Vectors, *, few: int = FEW) -> ApproximateIndex:
    """What was kept, over the rows that it was renumbered to; `vectors` [at least kept.rows, d].

    Raises RuntimeError for content that FAISS cannot read.
    """
    one_thread()
    coarse = _library.deserialize_index(np.array(kept.content))
    precise = _library.IndexScalarQuantizer(
        coarse.d, _library.ScalarQuantizer.QT_fp16, _library.METRIC_INNER_PRODUCT
    )
    for first in range(0, kept.rows, _BLOCK):
        block = vectors[first : min(first + _BLOCK, kept.rows)]
        precise.add(np.ascontiguousarray(block, dtype=np.float32))
    return _joined(coarse, precise, kept.trained_on, kept.tuning, few)
