"""Calibration: refused below 200 outcomes, honest above, monotone in silence, and kept as JSON to the bit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import SECONDS_PER_DAY, Floats
from recommender.numeric.calibration import (
    Calibration,
    CalibrationUnreadable,
    calibrated,
    fit_calibration,
    out_of_fold,
)
from recommender.numeric.outcome_features import falling_names, outcome_features, resting_names
from recommender.numeric.stage_display import anchor, intent
from recommender.numeric.stage_figures import calibration_error, log_loss
from recommender.numeric.stage_filter import filter_prepared
from recommender.numeric.stage_tracks import StageSignal, Tracks, prepare_tracks

MODEL = load_stage_model()
MODEL = dataclasses.replace(
    MODEL, calibration=dataclasses.replace(MODEL.calibration, strengths=(10.0,), folds=2)
)
NAMES = falling_names(MODEL) + resting_names(MODEL)
FALLING = len(falling_names(MODEL))
NOW = 1_750_000_000.0
Rows = tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]


def accounts(count: int = 300, seed: int = 3) -> Rows:
    """Four snapshots an account; the truth hangs on one falling and, against, one resting feature."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(1.0, 1.0, (count * 4, len(NAMES)))
    odds = -2.5 + 1.5 * x[:, 1] - 1.0 * x[:, FALLING + 3]
    return x, rng.random(len(x)) < expit(odds), np.repeat(np.arange(count), 4)


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    found = fit_calibration(MODEL, *accounts(), 240).calibration
    assert found is not None
    return found


def test_below_200_outcomes_nothing_is_fitted_and_the_reason_is_given() -> None:
    assert fit_calibration(MODEL, *accounts(), 199) == (None, "199 outcomes known, 200 are needed")


def test_outcomes_of_a_single_kind_teach_nothing() -> None:
    x, opened, account = accounts()
    found = fit_calibration(MODEL, x, np.zeros_like(opened), account, 240)
    assert found.calibration is None
    assert "at 0 accounts and not at 300" in found.reason


@pytest.mark.slow
def test_what_was_fitted_holds_for_others(fitted: Calibration) -> None:
    x, opened, _ = accounts(seed=4)
    p = fitted.probability(x)
    base = np.full(len(p), opened.mean())
    assert log_loss(p, opened) < log_loss(base, opened) - 0.05
    assert calibration_error(p, opened) < 0.05
    assert fitted.outcome_count == 240


def test_out_of_fold_chances_are_as_good_as_on_others_and_better_than_a_guess() -> None:
    x, opened, account = accounts()
    p = out_of_fold(MODEL, x, opened, account)
    assert log_loss(p, opened) < log_loss(np.full(len(p), opened.mean()), opened) - 0.05


@pytest.mark.slow
def test_no_feature_that_falls_in_silence_counts_against_and_others_may(fitted: Calibration) -> None:
    assert (fitted.weights[:FALLING] >= 0).all()
    assert fitted.weights[FALLING + 3] < 0
    inverse = accounts()
    found = fit_calibration(MODEL, -inverse[0], *inverse[1:], 240).calibration
    assert found is not None
    assert found.weights[1] == 0


@pytest.mark.slow
def test_the_calibrated_display_falls_with_every_day_of_silence(fitted: Calibration) -> None:
    """Whatever the weights of what rests: much reading that fades must not lift anybody."""
    rng = np.random.default_rng(9)
    kinds = MODEL.signal_types
    days = np.array([0, 0.5, 1, 3, 10, 30, 44, 46, 90, 200, 400.0])
    for _ in range(10):
        story = [
            StageSignal(NOW - SECONDS_PER_DAY * age, kinds[int(kind)])
            for age, kind in zip(rng.random(20) * 90, rng.integers(0, len(kinds), 20), strict=True)
        ]
        last = max(one.at for one in story)
        tracks = prepare_tracks(MODEL, Tracks.of(MODEL, [story] * len(days)), last + days * SECONDS_PER_DAY)
        p = filter_prepared(MODEL, tracks)
        active = np.where(days < MODEL.calibration.active_days, 1.0, 0.0)
        evidence = fitted.evidence(outcome_features(MODEL, tracks, p, active))
        assert (np.diff(evidence) < 0).all()
        shown = calibrated(MODEL, p, evidence)
        np.testing.assert_allclose(shown.sum(axis=1), 1)
        assert (np.diff(intent(MODEL, shown)) < 0).all()


def test_an_account_at_the_base_rate_shows_the_prevalence() -> None:
    shown = calibrated(MODEL, MODEL.start[None, :], np.zeros(1))
    np.testing.assert_allclose(shown, anchor(MODEL, MODEL.start[None, :]))


def test_features_are_finite_also_of_nobody() -> None:
    tracks = prepare_tracks(MODEL, Tracks.of(MODEL, [[], [StageSignal(NOW, "chat")]]), NOW)
    x = outcome_features(MODEL, tracks, filter_prepared(MODEL, tracks), np.array([0.0, 1.0]))
    assert x.shape == (2, len(NAMES))
    assert np.isfinite(x).all()
    assert x[0, NAMES.index("recency")] == 0
    assert x[1, NAMES.index("recency")] == 1
    assert x[1, NAMES.index("chat:30d")] == 1


@pytest.mark.slow
def test_a_calibration_survives_json_to_the_bit(fitted: Calibration) -> None:
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    x = accounts(20)[0]
    np.testing.assert_array_equal(again.probability(x), fitted.probability(x))
    assert again.fits(MODEL)


@pytest.mark.slow
def test_a_calibration_of_another_stage_file_says_nothing(fitted: Calibration) -> None:
    assert not fitted.fits(dataclasses.replace(MODEL, version="another"))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"mean": [1.0]},
        {"weights": None},
        {"intercept": float("nan")},
        {"base_rate": 0.0},
        {"scale": [0.0] * len(NAMES)},
    ],
)
@pytest.mark.slow
def test_a_calibration_that_cannot_be_read_is_refused(fitted: Calibration, change: dict[str, object]) -> None:
    with pytest.raises(CalibrationUnreadable):
        Calibration.from_dict(fitted.to_dict() | change)


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, opened, account = accounts(20)
    with pytest.raises(ValueError):
        fit_calibration(MODEL, x[:, :3], opened, account, 240)
    with pytest.raises(ValueError):
        fit_calibration(MODEL, x, opened[:-1], account, 240)
