"""How texts are cut into passes: each text once, within the budget, with little padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.passes import plan

COUNTS = st.lists(st.integers(1, 256), max_size=200)


@given(COUNTS, st.integers(16, 4096))
def test_each_text_is_in_exactly_one_pass_within_the_budget(counts: list[int], budget: int) -> None:
    array = np.array(counts, dtype=np.int64)
    passes = plan(array, budget)
    assert sorted(int(i) for chosen in passes for i in chosen) == list(range(len(counts)))
    for chosen in passes:
        assert len(chosen) == 1 or len(chosen) * array[chosen].max() <= budget


@pytest.mark.slow
@given(COUNTS, st.integers(16, 4096))
def test_padding_stays_within_an_eighth_of_the_budget(counts: list[int], budget: int) -> None:
    array = np.array(counts, dtype=np.int64)
    for chosen in plan(array, budget):
        padding = len(chosen) * array[chosen].max() - array[chosen].sum()
        assert padding <= budget // 8


def test_equal_lengths_fill_passes() -> None:
    passes = plan(np.full(100, 20, dtype=np.int64), 400)
    assert [len(chosen) for chosen in passes] == [20] * 5


def test_a_text_over_the_budget_goes_alone() -> None:
    passes = plan(np.array([5, 900, 5], dtype=np.int64), 100)
    assert [sorted(chosen.tolist()) for chosen in passes] == [[0, 2], [1]]
