"""Pooling, anchoring and naming estimates."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import PUBLIC_STAGES
from recommender.numeric.stage_display import anchor, display, intent, pool, public_distribution
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import StageSignal, Tracks

MODEL = load_stage_model()
U, L, A, C, D, K, R = range(7)
RNG = np.random.default_rng(11)
SOME = RNG.dirichlet(np.full(7, 0.5), 200)


def test_nothing_known_shows_exactly_the_prevalence() -> None:
    shown = anchor(MODEL, MODEL.start[None, :])[0]
    assert shown[[U, L]].sum() == pytest.approx(0.85)
    np.testing.assert_allclose(shown[[A, C, D]], [0.06, 0.05, 0.04])
    assert shown[U] / shown[L] == pytest.approx(0.88 / 0.06)


def test_the_shown_estimate_is_less_sure_than_the_raw_one_with_the_prevalence_as_prior() -> None:
    raw = np.array([[0.001, 0.0005, 0.01, 0.08, 0.9, 0.008, 0.0005]])
    assert 0.5 < anchor(MODEL, raw)[0, D] < raw[0, D]


def test_customers_keep_their_share_of_what_is_not_intent_and_all_rows_sum_to_one() -> None:
    shown = anchor(MODEL, SOME)
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    others = [U, L, A, K, R]
    for state in (K, R):
        np.testing.assert_allclose(
            shown[:, state] / shown[:, others].sum(axis=1), SOME[:, state] / SOME[:, others].sum(axis=1)
        )
    assert (shown >= 0).all()


def test_the_shown_log_odds_move_with_the_raw_ones_and_less_far() -> None:
    """Written out: prevalence .09, start .02, and the power between them."""
    raw, shown = intent(MODEL, SOME), intent(MODEL, anchor(MODEL, SOME))
    moved = np.log(raw / (1 - raw)) - np.log(0.02 / 0.98)
    expected = np.log(0.09 / 0.91) + MODEL.display.evidence_power * moved
    np.testing.assert_allclose(np.log(shown / (1 - shown)), expected)


def test_a_lone_demo_request_shows_as_a_decision_and_fades_within_months() -> None:
    """Whoever asks for a demo says so; a marketer who read "unknown" beside it would trust nothing else."""
    names, now = [], 1_750_000_000.0
    for days in (0, 7, 180, 365):
        asked = StageSignal(now - days * 86_400.0, "demo_request")
        shown = display(MODEL, anchor(MODEL, filter_tracks(MODEL, Tracks.of(MODEL, [[asked]]), now)))[0]
        names.append(shown.name)
    assert names[:2] == ["decision", "decision"]
    assert "decision" not in names[2:]


def test_a_state_that_is_impossible_stays_next_to_impossible_and_breaks_nothing() -> None:
    certain = np.eye(7)
    shown = anchor(MODEL, certain)
    assert np.isfinite(shown).all()
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    assert all(shown[state, state] > 0.9 for state in (A, C, D, K, R))


def test_anchoring_leaves_its_input_alone() -> None:
    before = SOME.copy()
    anchor(MODEL, SOME)
    np.testing.assert_array_equal(SOME, before)


def test_more_evidence_for_a_decision_shows_as_more_decision() -> None:
    steps = np.linspace(0.01, 0.9, 30)
    raw = np.stack([np.array([1 - step - 0.1, 0, 0.05, 0.05, step, 0, 0]) for step in steps])
    assert (np.diff(anchor(MODEL, raw)[:, D]) > 0).all()


def test_a_pool_of_equals_is_the_same_again_and_weights_lie_between() -> None:
    np.testing.assert_allclose(pool(MODEL, SOME, SOME), SOME, atol=1e-8)
    person, account = SOME[:100], SOME[100:]
    np.testing.assert_allclose(pool(MODEL, person, account, 1.0), person, atol=1e-8)
    np.testing.assert_allclose(pool(MODEL, person, account, 0.0), account, atol=1e-8)
    pooled, states = pool(MODEL, person, account), np.arange(7)
    for members in (np.isin(states, [C, D]), ~np.isin(states, [C, D])):
        expected = (person**0.6 * account**0.4)[:, members]
        inside = pooled[:, members]
        np.testing.assert_allclose(
            inside / inside.sum(axis=1, keepdims=True),
            expected / expected.sum(axis=1, keepdims=True),
            atol=1e-6,
        )
    odds = [np.log(intent(MODEL, p) / (1 - intent(MODEL, p))) for p in (pooled, person, account)]
    np.testing.assert_allclose(odds[0], 0.6 * odds[1] + 0.4 * odds[2], atol=1e-4)


def test_one_who_thinks_a_state_impossible_does_not_forbid_it() -> None:
    person, account = np.eye(7)[[A]], np.eye(7)[[K]]
    assert (pool(MODEL, person, account)[0, [A, K]] > 0.001).all()


def test_intent_is_consideration_and_decision() -> None:
    np.testing.assert_allclose(intent(MODEL, SOME), SOME[:, C] + SOME[:, D])


def test_public_names_carry_all_the_probability_in_their_order() -> None:
    p = np.array([[0.1, 0.2, 0.3, 0.15, 0.05, 0.15, 0.05]])
    named = dict(zip(PUBLIC_STAGES, public_distribution(MODEL, p)[0], strict=True))
    assert named == {
        "awareness": 0.3,
        "consideration": 0.15,
        "decision": 0.05,
        "customer": 0.15,
        "renewal": 0.05,
        "nurture": 0.2,
        "unknown": 0.1,
    }
    shown = display(MODEL, p)[0]
    assert (shown.name, shown.confidence) == ("awareness", 0.3)
    assert dict(shown.distribution) == named
