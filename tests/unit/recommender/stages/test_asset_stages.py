"""An asset's stages: text beside prototypes, the type's prior, the editor's word and what consumers teach."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.domain.stage_config import load_stage_model
from recommender.numeric.asset_stages import (
    UNKNOWN_ASSET_TYPE,
    asset_stage_names,
    asset_type_index,
    editors_distribution,
    estimate_asset_stages,
    learn_asset_stages,
    prototype_sentences,
    stage_similarity,
)

MODEL = load_stage_model()
SENTENCES = prototype_sentences(MODEL)
COUNTS = [len(stage) for stage in MODEL.asset_stages.prototypes]
UNKNOWN = np.array([UNKNOWN_ASSET_TYPE])


def prototypes() -> NDArray[np.float64]:
    """Every stage has an axis of its own, and each prototype leans a little another way."""
    stage = np.repeat(np.arange(4), COUNTS)
    vectors = np.eye(64)[stage] + 0.3 * np.eye(64)[4 + np.arange(len(stage))]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def estimate(vector: NDArray[np.float64], type_name: str | None) -> NDArray[np.float64]:
    index = np.array([asset_type_index(MODEL, type_name)])
    return np.asarray(estimate_asset_stages(MODEL, vector[None, :], index, prototypes())[0])


def test_prototypes_come_stage_by_stage_and_stages_have_public_names() -> None:
    assert asset_stage_names(MODEL) == ("awareness", "consideration", "decision", "customer")
    assert len(SENTENCES) == len(set(SENTENCES)) == sum(COUNTS)
    assert all(8 <= count <= 15 for count in COUNTS)


def test_text_near_a_stage_is_of_that_stage() -> None:
    for stage in range(4):
        pi = estimate(np.eye(64)[stage], None)
        assert pi.argmax() == stage
        assert pi.sum() == pytest.approx(1)


def test_text_that_says_nothing_leaves_the_root_of_the_type_prior() -> None:
    silent = np.eye(64)[60]
    np.testing.assert_allclose(estimate(silent, None), 0.25)
    root = np.sqrt([0.02, 0.23, 0.65, 0.10])
    np.testing.assert_allclose(estimate(silent, "pricing"), root / root.sum())


def test_a_type_never_heard_of_has_a_uniform_prior() -> None:
    assert asset_type_index(MODEL, "hologram") == asset_type_index(MODEL, None) == UNKNOWN_ASSET_TYPE
    vector = np.eye(64)[2]
    np.testing.assert_array_equal(estimate(vector, "hologram"), estimate(vector, None))


def test_the_text_can_overrule_the_type_and_the_type_decides_between_equals() -> None:
    assert estimate(np.eye(64)[2], "blog").argmax() == 2
    between = (np.eye(64)[0] + np.eye(64)[2]) / np.sqrt(2)
    assert estimate(between, "blog").argmax() == 0
    assert estimate(between, "pricing").argmax() == 2


def test_a_stage_gains_nothing_by_having_more_prototypes() -> None:
    even = np.full((1, 64), 1 / 8)
    same = np.tile(even, (sum(COUNTS), 1))
    similarity = stage_similarity(MODEL, even, same)
    np.testing.assert_allclose(similarity, 1.0)


def test_prototypes_of_another_model_are_refused_and_no_assets_are_no_rows() -> None:
    with pytest.raises(ValueError, match="prototype vectors"):
        estimate_asset_stages(MODEL, np.eye(64)[:1], UNKNOWN, prototypes()[:-1])
    assert estimate_asset_stages(MODEL, np.zeros((0, 64)), UNKNOWN[:0], prototypes()).shape == (0, 4)


def test_an_editors_word_becomes_a_distribution() -> None:
    np.testing.assert_allclose(
        editors_distribution(MODEL, {"decision": 3, "consideration": 1}), [0, 0.25, 0.75, 0]
    )


@pytest.mark.parametrize(
    "weights", [{}, {"decision": 0}, {"decision": -1}, {"nurture": 1}, {"decision": float("nan")}]
)
def test_an_editors_word_that_makes_no_sense_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        editors_distribution(MODEL, weights)


def test_nobody_yet_teaches_nothing() -> None:
    prior = np.array([[0.7, 0.1, 0.1, 0.1]])
    np.testing.assert_allclose(learn_asset_stages(MODEL, prior, np.zeros((1, 4)), np.ones(4)), prior)


def test_the_prior_is_worth_thirty_views() -> None:
    prior = np.array([[1.0, 0, 0, 0]])
    consumed = np.array([[0, 0, 30.0, 0]])
    np.testing.assert_allclose(learn_asset_stages(MODEL, prior, consumed, np.ones(4)), [[0.5, 0, 0.5, 0]])


def test_an_asset_read_by_the_usual_mix_does_not_drift_to_awareness() -> None:
    exposure = np.array([0.8, 0.1, 0.06, 0.04])
    prior = np.full((1, 4), 0.25)
    learnt = learn_asset_stages(MODEL, prior, 10_000 * exposure[None, :], exposure)
    np.testing.assert_allclose(learnt, prior, atol=1e-3)
    lifted = learn_asset_stages(MODEL, prior, np.array([[700.0, 100, 160, 40]]), exposure)
    assert lifted[0].argmax() == 2


def test_a_lucky_view_from_a_rare_stage_is_no_verdict() -> None:
    exposure = np.array([0.9999, 0.0001, 0, 0])
    learnt = learn_asset_stages(
        MODEL, np.array([[0.7, 0.1, 0.1, 0.1]]), np.array([[99.0, 0, 1.0, 0]]), exposure
    )
    assert learnt[0].argmax() == 0
    assert np.isfinite(learnt).all()
