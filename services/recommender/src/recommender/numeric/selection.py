"""Choosing the k highest of many numbers, the same ones every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top(values: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """int64 [min(k, N)]: positions of the k highest values, best first, ties by position."""
    if k <= 0:
        return np.empty(0, dtype=np.int64)
    if k >= len(values):
        chosen = np.arange(len(values))
    else:
        edge = np.partition(values, len(values) - k)[len(values) - k]
        above = np.flatnonzero(values > edge)
        chosen = np.concatenate([above, np.flatnonzero(values == edge)[: k - len(above)]])
    return chosen[np.lexsort((chosen, -values[chosen]))].astype(np.int64)
