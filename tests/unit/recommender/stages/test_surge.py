"""Surge: more signals on a topic than the account's own habit explains."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaincinv, pdtrc

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import SECONDS_PER_DAY
from recommender.numeric.surge import Surges, find_surges

SETTINGS = load_stage_model().surge
NOW = 1_750_000_000.0


def surges(*rows: tuple[float, int, int], topics: int = 1, weight: float = 1.0) -> Surges:
    """Rows of (days ago, topic, person)."""
    days, topic, person = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return find_surges(
        SETTINGS,
        NOW - days * SECONDS_PER_DAY,
        topic.astype(np.int64),
        person.astype(np.int64),
        np.full(len(rows), weight),
        topics,
        NOW,
    )


def test_the_chance_is_that_of_a_poisson_count_whose_rate_is_known_by_the_baseline() -> None:
    """Integrates over the rate instead of using the closed form."""
    found = surges(*[(5.0, 0, i) for i in range(4)], *[(50.0, 0, i) for i in range(3)])
    grid = (np.arange(20_000) + 0.5) / 20_000
    rates = gammaincinv(0.5 + 3, grid) / (84 + 14)
    chance = np.mean(pdtrc(3, 21 * rates))
    assert found.p_value[0] == pytest.approx(chance, rel=1e-3)


def test_a_burst_by_several_people_on_a_quiet_topic_surges_and_topics_are_apart() -> None:
    found = surges(*[(float(i), 1, i % 3) for i in range(6)], (60.0, 0, 1), topics=3)
    assert found.surging.tolist() == [False, True, False]
    assert found.recent.tolist() == [0, 6, 0]
    assert found.baseline.tolist() == [1, 0, 0]
    assert found.people.tolist() == [0, 3, 0]


def test_one_busy_person_is_no_surge() -> None:
    assert not surges(*[(float(i), 0, 7) for i in range(10)]).surging[0]


def test_two_signals_are_too_few_whatever_the_chance() -> None:
    assert not surges((1.0, 0, 1), (2.0, 0, 2)).surging[0]


def test_what_is_usual_for_the_account_is_no_surge() -> None:
    habit = [(21.0 + i * 3, 0, i % 4) for i in range(28)]
    recent = [(i * 3.0, 0, i % 4) for i in range(7)]
    assert not surges(*habit, *recent).surging[0]
    assert surges(*recent).surging[0]


def test_windows_meet_without_gap_or_overlap() -> None:
    found = surges((0.0, 0, 1), (20.99, 0, 2), (21.0, 0, 3), (104.99, 0, 4), (105.0, 0, 5), (-0.1, 0, 6))
    assert (found.recent[0], found.baseline[0], found.people[0]) == (2, 2, 2)


def test_flagged_signals_do_not_count_and_nothing_at_all_is_no_surge() -> None:
    assert surges(*[(float(i), 0, i) for i in range(9)], weight=0.0).recent.tolist() == [0]
    empty = surges(topics=2)
    assert empty.surging.tolist() == [False, False]
    assert empty.p_value.tolist() == [1.0, 1.0]
