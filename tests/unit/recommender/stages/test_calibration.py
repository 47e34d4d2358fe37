"""Calibration: refused below 200 outcomes, honest above, and the same after a round trip through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.numeric.calibration import Calibration, CalibrationUnreadable, fit_calibration

BINARY = ((0, 1, 2, 5, 6), (3, 4))


def overconfident(count: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Raw posteriors whose log-odds of intent are thrice what the truth warrants."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(-1.0, 1.0, count)
    outcome = (rng.random(count) < 1 / (1 + np.exp(-honest))).astype(np.int64)
    raw = 1 / (1 + np.exp(-3 * honest))
    p = np.zeros((count, 7))
    p[:, [3, 4]] = raw[:, None] * [0.7, 0.3]
    p[:, [0, 1, 2, 6]] = (1 - raw)[:, None] * [0.6, 0.2, 0.15, 0.05]
    return p, outcome


def log_loss(p: np.ndarray, outcome: np.ndarray) -> float:
    return float(-np.log(np.clip(p[np.arange(len(p)), outcome], 1e-12, 1)).mean())


def logs(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))


def test_below_two_hundred_outcomes_there_is_a_reason_instead() -> None:
    p, outcome = overconfident(199)
    assert fit_calibration(logs(p), outcome, BINARY) == (None, "199 outcomes known, 200 are needed")


@pytest.mark.parametrize(("ones", "words"), [(0, "alike"), (9, "only 9 outcomes of one kind")])
def test_without_enough_of_each_kind_there_is_a_reason_instead(ones: int, words: str) -> None:
    p, _ = overconfident(300)
    outcome = np.zeros(300, dtype=np.int64)
    outcome[:ones] = 1
    fitted = fit_calibration(logs(p), outcome, BINARY)
    assert fitted.calibration is None
    assert words in fitted.reason


def test_overconfidence_is_taken_back_on_outcomes_not_seen() -> None:
    p, outcome = overconfident(600)
    calibration = fit_calibration(logs(p), outcome, BINARY).calibration
    assert calibration is not None
    assert calibration.outcome_count == 600
    later, truth = overconfident(4_000, seed=4)
    raw = np.stack([1 - later[:, [3, 4]].sum(axis=1), later[:, [3, 4]].sum(axis=1)], axis=1)
    calibrated = calibration.apply(logs(later))
    assert log_loss(calibrated, truth) < log_loss(raw, truth) - 0.1
    assert calibrated[:, 1].mean() == pytest.approx(truth.mean(), abs=0.03)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_calibrated_states_keep_the_proportions_inside_each_group() -> None:
    p, outcome = overconfident(400)
    calibration = fit_calibration(logs(p), outcome, BINARY).calibration
    assert calibration is not None
    shown = calibration.apply_to_states(p)
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    np.testing.assert_allclose(shown[:, [3, 4]].sum(axis=1), calibration.apply(logs(p))[:, 1])
    np.testing.assert_allclose(shown[:, 3] / shown[:, 4], 0.7 / 0.3)
    assert (shown[:, 5] == 0).all()


def test_states_that_no_outcome_speaks_of_keep_their_probability() -> None:
    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.ones(7), 400)
    outcome = rng.integers(0, 3, 400)
    calibration = fit_calibration(logs(p), outcome, ((0, 1), (2, 3), (4,))).calibration
    assert calibration is not None
    shown = calibration.apply_to_states(p)
    np.testing.assert_array_equal(shown[:, [5, 6]], p[:, [5, 6]])
    np.testing.assert_allclose(shown.sum(axis=1), 1)


def test_by_default_an_outcome_is_a_state_and_kinds_never_seen_are_left_out() -> None:
    rng = np.random.default_rng(9)
    p = rng.dirichlet(np.ones(7), 600)
    outcome = np.array([rng.choice([0, 3, 4], p=row[[0, 3, 4]] / row[[0, 3, 4]].sum()) for row in p])
    calibration = fit_calibration(np.log(p), outcome).calibration
    assert calibration is not None
    assert calibration.groups == ((0,), (3,), (4,))


def test_a_calibration_survives_json_to_the_bit() -> None:
    p, outcome = overconfident(300)
    calibration = fit_calibration(logs(p), outcome, BINARY).calibration
    assert calibration is not None
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    np.testing.assert_array_equal(again.apply(logs(p)), calibration.apply(logs(p)))
    assert again.groups == calibration.groups


def test_a_calibration_that_cannot_be_read_is_refused() -> None:
    p, outcome = overconfident(300)
    calibration = fit_calibration(logs(p), outcome, BINARY).calibration
    assert calibration is not None
    good = calibration.to_dict()
    for bad in (
        {},
        {**good, "format": 2},
        {**good, "mean": "x"},
        {**good, "scale": [1.0]},
        {**good, "intercepts": [1.0]},
        {key: value for key, value in good.items() if key != "groups"},
    ):
        with pytest.raises(CalibrationUnreadable):
            Calibration.from_dict(bad)


def test_shapes_and_groups_that_do_not_fit_are_refused() -> None:
    p, outcome = overconfident(300)
    with pytest.raises(ValueError, match=r"\[n, S\]"):
        fit_calibration(logs(p), outcome[:-1])
    with pytest.raises(ValueError, match="disjoint"):
        fit_calibration(logs(p), outcome, ((0, 1), (1, 2)))
    with pytest.raises(ValueError, match="index groups"):
        fit_calibration(logs(p), outcome + 5, BINARY)
