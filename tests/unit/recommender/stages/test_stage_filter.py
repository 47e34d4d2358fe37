"""The filter by example: what a signal, an outcome, a cap, a weight and a clock do."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import DAYS_PER_MONTH, SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.stage_display import intent
from recommender.numeric.stage_filter import filter_tracks, silence_only
from recommender.numeric.stage_filter_slow import filter_one_slowly
from recommender.numeric.stage_silence import silence_matrices
from recommender.numeric.stage_tracks import StageSignal, Tracks, prepare_tracks

MODEL = load_stage_model()
NOON = 1_750_075_200.0  # 2025-06-16 12:00 UTC
MONTH = DAYS_PER_MONTH * SECONDS_PER_DAY
U, L, A, C, D, K, R = range(7)
TRACK_FIELDS = tuple(field.name for field in dataclasses.fields(Tracks))


def ago(days: float, kind: str, weight: float = 1.0) -> StageSignal:
    return StageSignal(NOON - days * SECONDS_PER_DAY, kind, weight)


def estimate(
    *signals: StageSignal, people: float = 1.0, now: float = NOON, model: StageModel = MODEL
) -> Floats:
    return np.asarray(filter_tracks(model, Tracks.of(model, [signals], people), now)[0])


def test_without_signals_a_buyer_is_at_the_start() -> None:
    np.testing.assert_array_equal(estimate(), MODEL.start)
    assert filter_tracks(MODEL, Tracks.of(MODEL, []), NOON).shape == (0, 7)


def test_one_signal_weighs_the_start_by_its_tempered_rates() -> None:
    rates = np.array([0.004, 0.004, 0.03, 0.18, 0.60, 0.05, 0.09])
    expected = MODEL.start * rates**0.6
    np.testing.assert_allclose(estimate(ago(0, "view_pricing")), expected / expected.sum(), rtol=1e-12)


def test_months_of_quiet_later_a_reader_still_weighs_more_than_a_cold_visitor() -> None:
    """The long-memory property, at the values of the model's description: .54 against .45."""
    last = [ago(0, "view_product"), ago(0, "view_case_study")]
    before = 14 * DAYS_PER_MONTH
    history = [
        ago(before + 20, "view_educational"),
        ago(before + 10, "download_whitepaper"),
        ago(before, "webinar_registered"),
        ago(before, "webinar_thought_attended"),
    ]
    remembered, cold = intent(MODEL, estimate(*history, *last)), intent(MODEL, estimate(*last))
    assert cold == pytest.approx(0.4526, abs=5e-4)
    assert remembered == pytest.approx(0.5429, abs=5e-4)
    assert remembered - cold > 0.08


@pytest.mark.parametrize("gap", [0, 7, 14, 30])
def test_long_memory_does_not_hang_on_how_the_history_was_spaced(gap: int) -> None:
    last = [ago(0, "view_product"), ago(0, "view_case_study")]
    before = 14 * DAYS_PER_MONTH
    kinds = ["webinar_registered", "download_whitepaper", "view_educational"]
    history = [ago(before + i * gap, kind) for i, kind in enumerate(kinds)]
    history.append(ago(before, "webinar_thought_attended"))
    assert intent(MODEL, estimate(*history, *last)) > intent(MODEL, estimate(*last))


def test_an_opened_opportunity_is_close_to_a_decision_and_a_won_one_makes_a_customer() -> None:
    story = [ago(30, "view_product"), ago(20, "demo_request")]
    opened = estimate(*story, ago(0, "opportunity_opened"))
    assert opened[D] > 0.6 > estimate(*story)[D]
    won = estimate(*story, ago(10, "opportunity_opened"), ago(0, "opportunity_won"))
    assert won[K] >= 0.98
    np.testing.assert_allclose(won.sum(), 1)


def test_a_lost_opportunity_sends_most_of_the_decision_to_sleep() -> None:
    story = [ago(20, "demo_request"), ago(1, "sales_meeting")]
    before, after = estimate(*story), estimate(*story, ago(0, "opportunity_lost"))
    assert after[D] == pytest.approx(0.15 * before[D], rel=1e-3)
    assert after[L] == pytest.approx(before[L] + 0.85 * before[D], rel=1e-3)


def test_an_outcome_is_no_activity_and_does_not_make_silence_young_again() -> None:
    quiet = [ago(200, "view_product"), ago(200, "sales_meeting")]
    prepared = prepare_tracks(MODEL, Tracks.of(MODEL, [[*quiet, ago(3, "opportunity_opened")]]), NOON)
    assert prepared.anchor[-1] == quiet[0].at


def test_outcomes_of_one_instant_end_with_the_win() -> None:
    both = [ago(0, "opportunity_won"), ago(0, "opportunity_lost"), ago(0, "opportunity_opened")]
    assert estimate(*both)[K] >= 0.98


def test_only_the_two_earliest_of_a_type_and_day_count() -> None:
    day = [StageSignal(NOON - 3_600.0 * hour, "view_pricing") for hour in range(1, 6)]
    np.testing.assert_array_equal(estimate(*day), estimate(*day[-2:]))
    prepared = prepare_tracks(MODEL, Tracks.of(MODEL, [day]), NOON)
    assert prepared.capped_count.tolist() == [3]
    assert prepared.at.tolist() == sorted(one.at for one in day)[:2]


def test_the_cap_is_by_day_in_utc_by_type_and_by_track() -> None:
    midnight = NOON - 12 * 3_600
    around = [StageSignal(midnight + seconds, "view_pricing") for seconds in (-2.0, -1.0, 0.0, 1.0)]
    others = [StageSignal(midnight, kind) for kind in ("view_product", "view_case_study")]
    tracks = Tracks.of(MODEL, [[*around, *others], around])
    assert prepare_tracks(MODEL, tracks, NOON).capped_count.tolist() == [0, 0]


def test_a_weight_tempers_a_signal_and_a_weight_of_0_moves_nothing_not_even_the_silence() -> None:
    half = estimate(ago(0, "view_pricing", 0.5))
    expected = MODEL.start * MODEL.rates[MODEL.signal_index["view_pricing"]] ** 0.3
    np.testing.assert_allclose(half, expected / expected.sum(), rtol=1e-12)
    base = [ago(40, "view_product")]
    ghosts = [ago(30, "demo_request", 0.0), ago(1, "opportunity_won", 0.0), ago(50, "view_pricing", 0.0)]
    np.testing.assert_array_equal(estimate(*base, *ghosts), estimate(*base))


def test_what_lies_in_the_future_has_not_happened_and_is_counted() -> None:
    base = [ago(5, "view_product")]
    odd = [ago(-1, "demo_request"), StageSignal(float("inf"), "chat"), StageSignal(float("nan"), "chat")]
    np.testing.assert_array_equal(estimate(*base, *odd), estimate(*base))
    prepared = prepare_tracks(MODEL, Tracks.of(MODEL, [[*base, *odd]]), NOON)
    assert prepared.future_count.tolist() == [3]
    assert estimate(*base, *odd, now=NOON + 2 * SECONDS_PER_DAY)[D] > estimate(*base)[D]


def test_what_is_older_than_the_web_is_a_broken_clock_and_is_counted() -> None:
    base = [ago(5, "view_product")]
    odd = [StageSignal(0.0, "demo_request"), StageSignal(-1e15, "chat"), StageSignal(-float("inf"), "chat")]
    np.testing.assert_array_equal(estimate(*base, *odd), estimate(*base))
    prepared = prepare_tracks(MODEL, Tracks.of(MODEL, [[*base, *odd]]), NOON)
    assert prepared.too_early_count.tolist() == [3]


def test_a_signal_without_a_row_moves_nothing_and_is_counted() -> None:
    base = [ago(5, "view_product")]
    np.testing.assert_array_equal(estimate(*base, ago(1, "impression")), estimate(*base))
    prepared = prepare_tracks(MODEL, Tracks.of(MODEL, [[*base, ago(1, "impression")]]), NOON)
    assert prepared.unknown_count.tolist() == [1]


def test_a_silent_crowd_says_more_than_one_silent_person() -> None:
    story = [ago(60, "view_product"), ago(60, "view_pricing"), ago(60, "demo_request")]
    by_people = [float(intent(MODEL, estimate(*story, people=n))) for n in (1, 4, 20)]
    assert by_people == sorted(by_people, reverse=True)
    assert by_people[0] > 3 * by_people[2]


def test_a_hundred_thousand_signals_leave_bounded_work() -> None:
    rng = np.random.default_rng(5)
    days, kinds = 365, len(MODEL.signal_types)
    count = 100_000
    tracks = Tracks(
        offsets=np.array([0, count]),
        at=NOON - rng.random(count) * days * SECONDS_PER_DAY,
        type=rng.integers(0, kinds, count),
        weight=np.ones(count),
        people=np.array([40.0]),
    )
    prepared = prepare_tracks(MODEL, tracks, NOON)
    assert len(prepared.at) <= (days + 1) * kinds * MODEL.filter.cap_per_type_and_day
    assert len(prepared.at) + prepared.capped_count.sum() == count
    one_day = dataclasses.replace(tracks, at=NOON - rng.random(count) * 3_600)
    assert len(prepare_tracks(MODEL, one_day, NOON).at) == 2 * kinds
    p = filter_tracks(MODEL, one_day, NOON)
    assert np.isfinite(p).all()


def test_only_the_latest_signals_of_a_very_long_track_count() -> None:
    model = dataclasses.replace(MODEL, filter=dataclasses.replace(MODEL.filter, most_signals=3))
    story = [ago(day, "view_product") for day in (50, 40, 30, 20, 10)]
    np.testing.assert_array_equal(estimate(*story, model=model), estimate(*story[2:], model=model))
    prepared = prepare_tracks(model, Tracks.of(model, [story, story[:2]]), NOON)
    assert np.diff(prepared.offsets).tolist() == [3, 2]
    assert prepared.capped_count.tolist() == [2, 0]


def test_whatever_the_model_silence_lets_nobody_climb() -> None:
    """Also where customers are louder than deciders and readers louder than buyers."""
    rates = MODEL.rates.copy()
    rates[:, K] *= 50
    rates[:, A] *= 20
    loud = dataclasses.replace(MODEL, rates=rates)
    days = np.array([0.0, 1, 5, 20, 60, 120, 300, 600])
    for kind in ("view_educational", "demo_request", "careers"):
        story = Tracks.of(loud, [[ago(0, kind)]] * len(days), 9.0)
        path = filter_tracks(loud, story, NOON + days * SECONDS_PER_DAY)
        for rungs in ([D], [C, D], [A, C, D]):
            mass = path[:, rungs].sum(axis=1)
            assert (np.diff(mass)[mass[:-1] > 1e-12] < 0).all()


def test_looking_often_changes_nothing() -> None:
    start = estimate(ago(0, "demo_request"))[None, :]
    whole = silence_only(MODEL, start, np.zeros(1), np.array([20 * MONTH]), np.ones(1))
    p, age = start, 0.0
    for months in (0.1, 0.4, 3.0, 6.5, 10.0):
        p = silence_only(MODEL, p, np.array([age]), np.array([months * MONTH]), np.ones(1))
        age += months * MONTH
    np.testing.assert_allclose(p, whole, rtol=1e-10)


def test_a_very_large_and_very_silent_account_stays_a_distribution() -> None:
    story = [ago(9_000, "demo_request"), ago(9_000, "sales_meeting"), ago(9_000, "opportunity_opened")]
    p = estimate(*story, people=1e6)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(), 1)
    np.testing.assert_allclose(p, filter_one_slowly(MODEL, story, NOON, 1e6), atol=1e-9)


def test_a_model_that_cannot_be_diagonalised_is_filtered_all_the_same() -> None:
    """Two states left at one rate, one into the other, have a single eigenvector between them."""
    generator = np.zeros((7, 7))
    generator[U, L] = generator[L, A] = generator[A, C] = 0.1
    generator -= np.diag(generator.sum(axis=1))
    settings = dataclasses.replace(MODEL.filter, silence_weight=0.0)
    model = dataclasses.replace(MODEL, generator=generator, filter=settings)
    assert not silence_matrices(model, 1.0).diagonal
    story = [ago(400, "view_educational"), ago(90, "view_product")]
    np.testing.assert_allclose(
        estimate(*story, model=model), filter_one_slowly(model, story, NOON), rtol=1e-9, atol=1e-12
    )


def test_a_model_that_turns_in_a_circle_is_filtered_with_complex_eigenvalues() -> None:
    generator = np.zeros((7, 7))
    for i in range(7):
        generator[i, (i + 1) % 7], generator[i, i] = 0.5, -0.5
    model = dataclasses.replace(MODEL, generator=generator)
    assert np.iscomplexobj(silence_matrices(model, 1.0).values)
    story = [ago(400, "view_educational"), ago(90, "view_product")]
    np.testing.assert_allclose(
        estimate(*story, model=model), filter_one_slowly(model, story, NOON), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offsets", np.array([0, 3])),
        ("offsets", np.array([1, 2])),
        ("at", np.zeros(3)),
        ("weight", np.array([0.5, 1.5])),
        ("weight", np.array([0.5, np.nan])),
        ("people", np.ones(2)),
        ("people", np.array([np.nan])),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(field: str, value: Floats) -> None:
    tracks = Tracks.of(MODEL, [[ago(1, "chat"), ago(2, "chat")]])
    with pytest.raises(ValueError):
        Tracks(**{**{name: getattr(tracks, name) for name in TRACK_FIELDS}, field: cast("Any", value)})
    with pytest.raises(ValueError, match="now"):
        filter_tracks(MODEL, tracks, float("nan"))
