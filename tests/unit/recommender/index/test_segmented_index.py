"""The growing index against brute force, over random histories of growth and random eligibility."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.index.segmented import SegmentedIndex

Matrix = NDArray[np.float32]


def unit(rng: np.random.Generator, rows: int, width: int) -> Matrix:
    vectors = rng.normal(size=(rows, width)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def brute_force(
    vectors: Matrix, queries: Matrix, k: int, eligible: NDArray[np.bool_]
) -> list[list[tuple[int, float]]]:
    scores = queries @ vectors.T
    answers = []
    for row in scores:
        order = [int(i) for i in np.argsort(-row, kind="stable") if eligible[i]][:k]
        answers.append([(i, float(row[i])) for i in order])
    return answers


@pytest.mark.parametrize("seed", range(5))
def test_a_grown_index_finds_what_brute_force_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 24))
    steps = np.cumsum(rng.choice([1, 3, 40, 700, 1100, 2500], size=5))
    vectors = unit(rng, int(steps[-1]), width)
    index = SegmentedIndex.empty(width)
    earlier: list[tuple[SegmentedIndex, int]] = []
    for rows in steps:
        index = index.grown_to(vectors[:rows])
        earlier.append((index, int(rows)))
    for snapshot, rows in earlier:  # also those from before: growth leaves them as they were
        assert len(snapshot) == rows
        queries = unit(rng, 3, width)
        for share in (0.0, 0.01, 0.5, 1.0):
            eligible = rng.random(rows) < share
            k = int(rng.integers(1, 60))
            scores, found = snapshot.search(queries, k, eligible)
            assert scores.shape == found.shape
            for q, expected in enumerate(brute_force(vectors[:rows], queries, k, eligible)):
                kept = found[q] >= 0
                assert kept.sum() == len(expected)
                assert np.all(eligible[found[q][kept]])
                np.testing.assert_allclose(scores[q][kept], [score for _, score in expected], atol=1e-5)
                assert np.all(np.diff(scores[q][kept]) <= 0)


def test_equal_rows_come_in_their_order_whatever_the_segments() -> None:
    rng = np.random.default_rng(1)
    vectors = np.repeat(unit(rng, 1, 4), 5000, axis=0)
    grown = SegmentedIndex.empty(4)
    for rows in (1100, 1500, 4000, 5000):
        grown = grown.grown_to(vectors[:rows])
    everything = np.ones(5000, dtype=np.bool_)
    for index in (grown, SegmentedIndex.empty(4).grown_to(vectors)):
        assert index.search(vectors[:1], 10, everything)[1][0].tolist() == list(range(10))


def test_an_empty_index_finds_nothing() -> None:
    empty = SegmentedIndex.empty(4)
    scores, rows = empty.search(np.ones((2, 4), dtype=np.float32), 3, np.zeros(0, dtype=np.bool_))
    assert rows.tolist() == [[-1] * 3] * 2
    assert np.all(np.isneginf(scores))
