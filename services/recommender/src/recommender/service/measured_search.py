"""A search for neighbours whose time is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Histogram

from recommender.numeric.candidates import VectorSearch


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSearch:
    """Answers as `search` does."""

    inner: VectorSearch
    seconds: Histogram

    def search(
        self, queries: NDArray[np.float32], k: int, eligible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        started = time.perf_counter()
        found = self.inner.search(queries, k, eligible)
        self.seconds.observe(time.perf_counter() - started)
        return found
