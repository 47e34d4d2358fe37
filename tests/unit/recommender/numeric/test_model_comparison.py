"""What two models' vectors of the same assets say of one another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.index.segmented import SegmentedIndex
from recommender.numeric.model_comparison import ModelComparison, compare_models

RNG = np.random.default_rng(3)
STAGES = np.full((300, 4), 0.25, dtype=np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


LIVE = _unit(RNG.standard_normal((300, 32)))


def _compared(
    coming: NDArray[np.float32],
    stages: NDArray[np.float32] = STAGES,
    indexed: NDArray[np.float32] | None = None,
) -> ModelComparison:
    index = SegmentedIndex.empty(coming.shape[1]).grown_to(coming if indexed is None else indexed)
    return compare_models(LIVE, coming, index, STAGES, stages, np.random.default_rng(0))


def test_a_model_is_equal_to_itself_and_to_its_rotation() -> None:
    turned = LIVE @ np.linalg.qr(RNG.standard_normal((32, 32)))[0].astype(np.float32)
    for coming in (LIVE, _unit(turned.astype(np.float64))):
        found = _compared(coming)
        assert found.passed
        assert found.overlap == found.recall == 1.0
        assert found.score_shift == pytest.approx(0.0, abs=1e-4)


def test_a_model_that_knows_nothing_of_the_texts_is_next_to_chance() -> None:
    found = _compared(_unit(RNG.standard_normal((300, 48))))
    assert found.overlap < 0.1
    assert any("next to chance" in finding for finding in found.findings)


def test_a_model_to_which_all_is_alike_does_not_pass() -> None:
    found = _compared(np.tile(LIVE[:1], (300, 1)))
    assert any("more alike" in finding for finding in found.findings)


def test_a_catalogue_that_changes_its_stages_does_not_pass() -> None:
    stages = np.tile(np.eye(1, 4, dtype=np.float32), (300, 1))
    found = _compared(LIVE, stages)
    assert found.stage_shift == pytest.approx(0.75)
    assert any("buying stages" in finding for finding in found.findings)


def test_an_index_that_lacks_assets_does_not_pass() -> None:
    half = np.concatenate([np.zeros((150, 32), dtype=np.float32), LIVE[150:]])
    found = _compared(LIVE, indexed=half)
    assert found.recall < 0.95
    assert any("of the nearest" in finding for finding in found.findings)


def test_few_assets_say_nothing_about_neighbours() -> None:
    coming = _unit(RNG.standard_normal((4, 8)))
    index = SegmentedIndex.empty(8).grown_to(coming)
    rng = np.random.default_rng(0)
    found = compare_models(LIVE[:4], coming, index, STAGES[:4], STAGES[:4], rng)
    assert found.passed
