"""An approximate index held against exact search: what it finds, what it never shows, how it is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.index.approximate import ApproximateIndex, Tuning, extended, kept, learnt, restored
from recommender.index.catalogue_index import CatalogueIndex
from recommender.index.tuning import known_neighbours, likely_queries, measured, tuned
from recommender.numeric.candidates import ExactSearch

pytestmark = pytest.mark.slow
WIDTH = 16
ROWS = 3_000
FLOOR = 0.99
Matrix = NDArray[np.float32]


def clustered(rng: np.random.Generator, rows: int, middles: Matrix) -> Matrix:
    vectors = middles[rng.integers(len(middles), size=rows)] + 0.4 * rng.normal(size=(rows, WIDTH))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    rng = np.random.default_rng(3)
    middles = rng.normal(size=(40, WIDTH)) / 2
    return clustered(rng, 2 * ROWS, middles.astype(np.float32))


@pytest.fixture(scope="module")
def built(vectors: Matrix) -> ApproximateIndex:
    """Over the first ROWS rows, tuned; a hundred eligible rows are few."""
    usable = np.ones(ROWS, dtype=np.bool_)
    rng = np.random.default_rng(0)
    index = learnt(vectors[:ROWS], usable, rng, few=100)
    found = tuned(index, vectors[:ROWS], usable, rng, floor=FLOOR)
    assert found is not None
    return found


def recall(index: ApproximateIndex, vectors: Matrix, usable: NDArray[np.bool_]) -> float:
    queries = likely_queries(vectors, usable, np.random.default_rng(77), 120)
    return measured(index, known_neighbours(queries, vectors, usable), vectors, usable)[0]


def test_it_finds_what_it_says_and_does_not_look_everywhere(built: ApproximateIndex, vectors: Matrix) -> None:
    usable = np.ones(ROWS, dtype=np.bool_)
    assert built.tuning.recall >= FLOOR
    assert recall(built, vectors[:ROWS], usable) >= FLOOR - 0.02
    assert built.tuning.probes < built.cells
    narrow = built.tuned(Tuning(1, 10, 0.0, 0.0))
    assert recall(narrow, vectors[:ROWS], usable) < FLOOR, "or this test could not fail"


@settings(max_examples=40, deadline=None)
@given(
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    k=st.integers(1, 60),
    probes=st.sampled_from([1, 500]),
)
def test_what_is_not_eligible_is_never_found_and_nothing_is_missing(
    built: ApproximateIndex, vectors: Matrix, share: float, seed: int, k: int, probes: int
) -> None:
    """However little of it is looked at; the index rests on a part of the rows, the others are exact."""
    rng = np.random.default_rng(seed)
    index = CatalogueIndex.empty(WIDTH).resting_on(
        built.tuned(Tuning(probes, k, 0.0, 0.0)), vectors[: ROWS + 500]
    )
    eligible = rng.random(ROWS + 500) < share
    queries = rng.normal(size=(2, WIDTH)).astype(np.float32)
    scores, rows = index.search(queries, k, eligible)
    for own, reached in zip(rows, scores, strict=True):
        found = own[own >= 0]
        assert eligible[found].all()
        assert len(set(found.tolist())) == len(found) == min(k, int(eligible.sum()))
        assert (np.diff(reached[: len(found)]) <= 0).all()


@pytest.mark.parametrize("share", [0.6, 0.2, 0.05, 0.02])
def test_the_fewer_are_eligible_the_wider_it_looks(
    built: ApproximateIndex, vectors: Matrix, share: float
) -> None:
    rng = np.random.default_rng(5)
    eligible = rng.random(ROWS) < share
    queries = likely_queries(vectors[:ROWS], eligible, rng, 80)
    exact, _ = ExactSearch(vectors[:ROWS]).search(queries, 10, eligible)
    found, _ = built.search(queries, 10, eligible)
    assert (found >= exact[:, -1:] - 2e-3).mean() >= FLOOR - 0.02


def test_an_answer_does_not_depend_on_what_else_is_asked(built: ApproximateIndex, vectors: Matrix) -> None:
    everything = np.ones(ROWS, dtype=np.bool_)
    queries = vectors[:20]
    scores, rows = built.search(queries, 10, everything)
    for i in range(20):
        own_scores, own_rows = built.search(queries[i : i + 1], 10, everything)
        assert np.array_equal(own_rows[0], rows[i])
        assert np.array_equal(own_scores[0], scores[i])


def test_extended_it_finds_new_rows_and_the_old_one_is_as_it_was(
    built: ApproximateIndex, vectors: Matrix
) -> None:
    usable = np.ones(2 * ROWS, dtype=np.bool_)
    usable[ROWS : ROWS + 50] = False
    grown = extended(built, vectors, usable)
    assert grown.rows == 2 * ROWS
    assert grown.trained_on == built.trained_on
    assert built.rows == built.precise.ntotal == ROWS
    again = tuned(grown, vectors, usable, np.random.default_rng(1), floor=FLOOR)
    assert again is not None
    assert recall(again, vectors, usable) >= FLOOR - 0.02


def test_kept_and_restored_it_answers_alike(built: ApproximateIndex, vectors: Matrix) -> None:
    rng = np.random.default_rng(9)
    alive = rng.random(ROWS + 100) < 0.8
    new_row_of = np.where(alive, np.cumsum(alive) - 1, -1).astype(np.int64)
    left = vectors[: ROWS + 100][alive]
    again = restored(kept(built, new_row_of), left, few=built.few)
    assert again.rows == int(alive[:ROWS].sum())
    assert again.tuning == built.tuning
    queries = vectors[rng.integers(ROWS, size=20)]
    before, rows_before = built.search(queries, 10, alive[:ROWS])
    after, rows_after = again.search(queries, 10, np.ones(again.rows, dtype=np.bool_))
    # More cells are looked into where not all rows are eligible: the restored one may miss what this found.
    assert (new_row_of[rows_before] == rows_after).mean() > 0.9
    assert np.allclose(np.sort(after[:, :1]), np.sort(before[:, :1]), atol=1e-3)


def test_memory_is_well_below_that_of_the_vectors() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 384)).astype(np.float32)
    index = learnt(vectors, np.ones(300, dtype=np.bool_), rng)
    at_a_million = index.memory_bytes() - index.cells * 384 * 4
    assert at_a_million <= 0.75 * vectors.nbytes


def test_where_the_floor_is_out_of_reach_there_is_no_index(vectors: Matrix) -> None:
    usable = np.ones(ROWS, dtype=np.bool_)
    rng = np.random.default_rng(0)
    index = learnt(vectors[:ROWS], usable, rng, few=100)
    assert tuned(index, vectors[:ROWS], usable, rng, floor=1.01) is None
    assert tuned(index, vectors[:50], usable[:50], rng, floor=FLOOR) is None
