"""The cache is bounded, forgets what was not asked for longest, and cannot be changed from outside."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.cache import VectorCache

VECTOR = np.ones(4, dtype=np.float32)


def test_the_least_recently_used_text_goes_first() -> None:
    cache = VectorCache(2)
    cache.put("a", VECTOR, 1)
    cache.put("b", VECTOR, 1)
    cache.get("a")
    cache.put("c", VECTOR, 1)
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_what_is_kept_is_a_read_only_copy() -> None:
    cache = VectorCache(1)
    mine = VECTOR.copy()
    cache.put("a", mine, 3)
    mine[0] = 9
    found = cache.get("a")
    assert found is not None
    kept, count = found
    assert (kept[0], count) == (1, 3)
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 9


def test_a_capacity_of_none_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put("a", VECTOR, 1)
    assert cache.get("a") is None
