"""A bounded memory of the vectors of recent short texts: search boxes send the same few queries all day."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray


class VectorCache:
    """Least recently used out first; `capacity` texts, each with its vector (read-only) and token count."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[NDArray[np.float32], int]] = OrderedDict()

    def get(self, text: str) -> tuple[NDArray[np.float32], int] | None:
        with self._lock:
            found = self._kept.get(text)
            if found is not None:
                self._kept.move_to_end(text)
            return found

    def put(self, text: str, vector: NDArray[np.float32], token_count: int) -> None:
        if not self._capacity:
            return
        kept = vector.copy()
        kept.flags.writeable = False
        with self._lock:
            self._kept[text] = (kept, token_count)
            self._kept.move_to_end(text)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
