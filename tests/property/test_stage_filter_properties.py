"""What the filter promises for every set of signals, and its slow twin as the judge."""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import OUTCOMES, SECONDS_PER_DAY, Floats
from recommender.numeric.stage_display import anchor, display, intent, log_odds, pool
from recommender.numeric.stage_evidence import estimate_from, evidence
from recommender.numeric.stage_filter import filter_tracks, silence_only
from recommender.numeric.stage_filter_slow import filter_one_slowly
from recommender.numeric.stage_sentences import sentence
from recommender.numeric.stage_tracks import StageSignal, Tracks

MODEL = load_stage_model()
NOW = 1_750_000_000.0
TYPES = (*MODEL.signal_types, *OUTCOMES)

# Whole days beside seconds make ties and full caps likely; a few lie in the future or before the web.
AGES = st.one_of(
    st.integers(-3, 40).map(lambda days: days * SECONDS_PER_DAY),
    st.floats(0, 900 * SECONDS_PER_DAY),
    st.floats(-1e9, 3e9),
)
SIGNALS = st.builds(
    lambda age, kind, weight: StageSignal(NOW - age, kind, weight),
    AGES,
    st.sampled_from((*TYPES, "impression")),
    st.sampled_from((0.0, 0.3, 0.5, 0.8, 1.0)),
)
BEHAVIOURS = st.builds(
    lambda age, kind: StageSignal(NOW - age, kind),
    st.floats(0, 400 * SECONDS_PER_DAY),
    st.sampled_from(MODEL.signal_types),
)
TRACK = st.lists(SIGNALS, max_size=25)
PEOPLE = st.sampled_from((1.0, 2.0, 7.0, 60.0))


def estimate(signals: list[StageSignal], people: float = 1.0, now: float = NOW) -> Floats:
    return np.asarray(filter_tracks(MODEL, Tracks.of(MODEL, [signals], people), now)[0])


@given(TRACK, PEOPLE)
@settings(max_examples=75, deadline=None)
def test_the_fast_filter_is_the_slow_one(signals: list[StageSignal], people: float) -> None:
    fast, slow = estimate(signals, people), filter_one_slowly(MODEL, signals, NOW, people)
    np.testing.assert_allclose(fast, slow, rtol=1e-7, atol=1e-11)


@given(TRACK, PEOPLE)
@settings(max_examples=150, deadline=None)
def test_an_estimate_is_a_distribution(signals: list[StageSignal], people: float) -> None:
    p = estimate(signals, people)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-12)
    shown = anchor(MODEL, pool(MODEL, p[None, :], estimate(signals, 9.0)[None, :]))
    assert (shown >= 0).all()
    assert shown.sum() == pytest.approx(1, abs=1e-9)
    one = display(MODEL, shown)[0]
    assert one.confidence == max(one.distribution.values()) == one.distribution[one.name]


@given(TRACK, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_arrival_leaves_no_trace(signals: list[StageSignal], random: Random) -> None:
    shuffled = list(signals)
    random.shuffle(shuffled)
    np.testing.assert_array_equal(estimate(shuffled), estimate(signals))


@given(st.lists(TRACK, min_size=1, max_size=6), st.lists(PEOPLE, min_size=6, max_size=6))
@settings(max_examples=75, deadline=None)
def test_a_batch_gives_exactly_the_single_answers(
    tracks: list[list[StageSignal]], people: list[float]
) -> None:
    batch = filter_tracks(MODEL, Tracks.of(MODEL, tracks, people[: len(tracks)]), NOW)
    for p, track, count in zip(batch, tracks, people, strict=False):
        np.testing.assert_array_equal(p, estimate(track, count))


@given(TRACK, st.lists(SIGNALS, max_size=10))
@settings(max_examples=75, deadline=None)
def test_weightless_signals_move_nothing(signals: list[StageSignal], others: list[StageSignal]) -> None:
    ghosts = [dataclasses.replace(one, weight=0.0) for one in others]
    np.testing.assert_array_equal(estimate([*ghosts, *signals]), estimate(signals))


@given(TRACK, st.lists(st.floats(0, 400), min_size=1, max_size=5))
@settings(max_examples=75, deadline=None)
def test_signals_dated_in_the_future_or_before_the_web_move_nothing(
    signals: list[StageSignal], days: list[float]
) -> None:
    wrong = [StageSignal(NOW + 1 + day * SECONDS_PER_DAY, "demo_request") for day in days]
    wrong += [StageSignal(MODEL.filter.earliest - 1 - day * SECONDS_PER_DAY, "demo_request") for day in days]
    np.testing.assert_array_equal(estimate([*wrong, *signals]), estimate(signals))


SILENT_DAYS = np.array([0, 0.5, 1, 3, 7, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365, 450, 550, 730, 1100])


@given(TRACK, st.sampled_from(MODEL.signal_types), PEOPLE)
@settings(max_examples=100, deadline=None)
def test_every_further_day_of_silence_lowers_what_is_estimated_and_what_is_shown(
    signals: list[StageSignal], last: str, people: float
) -> None:
    """P(D), P(C + D) and P(A + C + D), raw, and consideration with decision as displayed: each strictly."""
    story = Tracks.of(MODEL, [[*past(signals), StageSignal(NOW, last)]] * len(SILENT_DAYS), people)
    path = filter_tracks(MODEL, story, NOW + SILENT_DAYS * SECONDS_PER_DAY)
    for above in range(len(MODEL.filter.ladder)):
        mass = path[:, list(MODEL.filter.ladder[above:])].sum(axis=1)
        assert falls(mass), above
    assert falls(intent(MODEL, anchor(MODEL, path)))


@given(TRACK, TRACK, st.sampled_from(MODEL.signal_types))
@settings(max_examples=75, deadline=None)
def test_silence_of_a_person_and_of_the_account_lowers_what_is_shown_of_both(
    own: list[StageSignal], others: list[StageSignal], last: str
) -> None:
    mine = [*past(own), StageSignal(NOW, last)]
    moments = NOW + SILENT_DAYS * SECONDS_PER_DAY
    person = filter_tracks(MODEL, Tracks.of(MODEL, [mine] * len(SILENT_DAYS)), moments)
    account = filter_tracks(
        MODEL, Tracks.of(MODEL, [[*mine, *past(others)]] * len(SILENT_DAYS), 4.0), moments
    )
    pooled = pool(MODEL, person, account)
    assert falls(intent(MODEL, pooled))
    assert falls(intent(MODEL, anchor(MODEL, pooled)))


def past(signals: list[StageSignal]) -> list[StageSignal]:
    """Those that are not in the future: what happens later ends the silence."""
    return [one for one in signals if one.at <= NOW]


def falls(path: Floats) -> bool:
    """Strictly, as far as floating point can tell two numbers that close to 0 or 1 apart."""
    telling = (path[:-1] > 1e-11) & (path[:-1] < 1 - 1e-11)
    return bool(np.all(np.diff(path)[telling] < 0)) and bool(np.all(np.diff(path) <= 1e-12))


@given(st.lists(BEHAVIOURS, max_size=15), st.floats(1, 60))
@settings(max_examples=75, deadline=None)
def test_silence_is_evidence_beyond_the_passing_of_time(signals: list[StageSignal], days: float) -> None:
    """For two months after a signal, having heard nothing weighs against the same time unobserved."""
    p = estimate([*signals, StageSignal(NOW, "view_product")])[None, :]
    unobserved = dataclasses.replace(MODEL, filter=dataclasses.replace(MODEL.filter, silence_weight=0.0))
    age, duration, one = np.zeros(1), np.array([days * SECONDS_PER_DAY]), np.ones(1)
    heard_nothing = intent(MODEL, silence_only(MODEL, p, age, duration, one))
    assert heard_nothing < intent(MODEL, silence_only(unobserved, p, age, duration, one))


@given(TRACK, PEOPLE, st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_the_evidence_shown_gives_the_estimate(signals: list[StageSignal], people: float, top: int) -> None:
    track = Tracks.of(MODEL, [signals], people)
    shown = evidence(MODEL, track, NOW, top)
    raw = intent(MODEL, filter_tracks(MODEL, track, NOW))
    assert sum(one.effect for one in shown) == pytest.approx(float(log_odds(raw)[0]), abs=1e-9)
    assert estimate_from(shown) == pytest.approx(float(raw[0]), abs=1e-9)
    assert [one.kind for one in shown].count("start") == 1
    assert len(shown) <= top + 2
    assert all(sentence(MODEL, one, NOW) for one in shown)
