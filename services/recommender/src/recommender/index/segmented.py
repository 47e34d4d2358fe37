"""Exact FAISS search over a growing matrix: sealed segments are shared, only the newest is built again.

A snapshot never changes once made, so many requests search it without a lock while the next one is built.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Found = tuple[NDArray[np.float32], NDArray[np.int64]]  # scores [Q, k], rows [Q, k]
# FAISS's type stubs describe the C++ signatures, not what its Python wrapper takes.
_library: Any = faiss
# A tail of this size is rebuilt within a millisecond; a larger one is sealed.
_TAIL_ROWS = 1024
_GROWTH = 0.25

_own = threading.local()


def one_thread() -> None:
    """FAISS computes what this thread asks for on it alone: the setting is each thread's own.

    Several OpenMP threads in one search stall each other under load; requests are the parallelism.
    """
    if not getattr(_own, "single", False):
        _library.omp_set_num_threads(1)
        _own.single = True


def nothing(queries: int, k: int) -> Found:
    """The answer where there is nothing to find."""
    return np.full((queries, k), -np.inf, dtype=np.float32), np.full((queries, k), -1, dtype=np.int64)


def merged(parts: Sequence[Found], k: int) -> Found:
    """The best k of what several parts of a matrix answered to the same queries."""
    scores = np.concatenate([scores for scores, _ in parts], axis=1)
    rows = np.concatenate([rows for _, rows in parts], axis=1)
    # Among equals the lower row comes first, whatever the parts: replicas grew differently.
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    start: int
    length: int
    index: Any  # faiss.IndexFlatIP


def _segment(start: int, vectors: Vectors) -> _Segment:
    index = _library.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    return _Segment(start, len(vectors), index)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedIndex:
    """Inner-product search over rows `first`..N of a matrix float32 [N, d]; the cosine of unit vectors."""

    dimension: int
    segments: tuple[_Segment, ...]
    first: int = 0

    @classmethod
    def empty(cls, dimension: int, first: int = 0) -> SegmentedIndex:
        return cls(dimension, (), first)

    def __len__(self) -> int:
        """How many rows it holds."""
        return sum(segment.length for segment in self.segments)

    def grown_to(self, vectors: Vectors) -> SegmentedIndex:
        """A snapshot over all rows of `vectors` [N, d]; rows that this one holds must not have changed."""
        kept = list(self.segments)
        while kept and (
            kept[-1].length < _TAIL_ROWS or kept[-1].length < _GROWTH * (kept[-1].start - self.first)
        ):
            kept.pop()
        start = kept[-1].start + kept[-1].length if kept else self.first
        if start < len(vectors):
            kept.append(_segment(start, vectors[start:]))
        return SegmentedIndex(self.dimension, tuple(kept), self.first)

    def search(
        self, queries: Vectors, k: int, eligible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Best k eligible rows of each query. queries [Q, d], eligible [N].

        → (scores float32 [Q, k] falling, rows int64 [Q, k], -1 where there are fewer).
        """
        wanted = np.ascontiguousarray(queries, dtype=np.float32)
        if not self.segments or not len(wanted):
            return nothing(len(wanted), k)
        one_thread()
        return merged([self._search_segment(segment, wanted, k, eligible) for segment in self.segments], k)

    @staticmethod
    def _search_segment(
        segment: _Segment, queries: Vectors, k: int, eligible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        bits = np.packbits(eligible[segment.start : segment.start + segment.length], bitorder="little")
        selector = _library.IDSelectorBitmap(bits)
        parameters = _library.SearchParameters(sel=selector)
        # One query a call: FAISS multiplies larger blocks by another routine, whose last bits differ, and a
        # batch must answer exactly as single requests do.
        found = [segment.index.search(query[None, :], k, params=parameters) for query in queries]
        scores = np.concatenate([scores for scores, _ in found])
        rows = np.concatenate([rows for _, rows in found])
        return scores, np.where(rows >= 0, rows + segment.start, -1)
