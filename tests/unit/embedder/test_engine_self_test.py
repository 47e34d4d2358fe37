"""Which way of computing a self-test chooses, and that it sees when neighbours change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.encoder import Vectors
from embedder.hashing import HashingEncoder
from embedder.self_test import (
    REFERENCE,
    Finding,
    Way,
    best,
    built_in_texts,
    compare,
    neighbour_overlap,
)

TORCH_BF16, OV_F32, OV_BF16 = (
    Way("torch", "bfloat16"),
    Way("openvino", "float32"),
    Way("openvino", "bfloat16"),
)


class Ticking:
    """A clock that only an encoder at work moves, and an encoder that takes a fixed time a call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def encoder(self, seconds: float, error: float = 0.0) -> HashingEncoder:
        clock = self

        class Timed(HashingEncoder):
            def encode(self, texts: Sequence[str]) -> Vectors:
                clock.now += seconds
                exact = super().encode(texts)
                noise = np.random.default_rng(1).normal(size=exact.shape) * error
                return np.asarray(exact + noise, dtype=np.float32)

        return Timed(64)


def test_speed_is_told_as_a_multiple_of_the_reference_and_the_quickest_round_counts() -> None:
    clock = Ticking()
    found = compare({REFERENCE: clock.encoder(4.0), OV_BF16: clock.encoder(1.0)}, clock)
    assert found == {REFERENCE: Finding(1.0, 1.0), OV_BF16: Finding(4.0, 1.0)}


def test_a_way_that_finds_other_neighbours_is_seen() -> None:
    clock = Ticking()
    found = compare({REFERENCE: clock.encoder(1.0), OV_F32: clock.encoder(0.1, error=0.3)}, clock)
    assert found[OV_F32].overlap < 0.9
    assert best(found) == REFERENCE


def test_neighbours_that_are_equally_near_may_take_one_anothers_place() -> None:
    basis = np.eye(6, dtype=np.float32)
    exact: NDArray[np.float32] = basis[[0, 0, 0, 0, 1, 1, 1, 1]]
    shuffled = exact + np.float32(1e-6) * np.random.default_rng(2).random(exact.shape, dtype=np.float32)
    assert neighbour_overlap(exact, shuffled, count=2) == 1.0
    turned: NDArray[np.float32] = basis[[0, 1, 2, 3, 0, 1, 2, 3]]
    assert neighbour_overlap(exact, turned, count=2) < 0.9


@pytest.mark.parametrize(
    ("findings", "chosen"),
    [
        ({REFERENCE: Finding(1, 1), OV_F32: Finding(1.3, 1), OV_BF16: Finding(4, 0.99)}, OV_BF16),
        ({REFERENCE: Finding(1, 1), OV_F32: Finding(1.3, 1), OV_BF16: Finding(4, 0.9)}, OV_F32),
        ({REFERENCE: Finding(1, 1), OV_F32: Finding(1.05, 1)}, REFERENCE),
        ({REFERENCE: Finding(1, 1), TORCH_BF16: Finding(0.3, 1), OV_BF16: Finding(0.5, 1)}, REFERENCE),
    ],
    ids=["fastest", "fastest_that_agrees", "not_worth_it", "emulated_bfloat16"],
)
def test_the_fastest_that_agrees_is_chosen(findings: dict[Way, Finding], chosen: Way) -> None:
    assert best(findings) == chosen


def test_the_built_in_texts_are_many_and_of_many_lengths() -> None:
    texts = built_in_texts()
    assert len(set(texts)) == len(texts) >= 40
    words = [len(text.split()) for text in texts]
    assert min(words) <= 2
    assert max(words) >= 60
