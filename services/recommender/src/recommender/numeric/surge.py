"""Surge: is an account's interest in a topic rising beyond its own habit and chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from recommender.domain.stages import SECONDS_PER_DAY, Floats, SurgeSettings

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Surges:
    """Per topic [T]: signals and people of the window, signals of the baseline, the chance of it, verdict."""

    recent: Ints
    baseline: Ints
    people: Ints
    p_value: Floats
    surging: NDArray[np.bool_]


def find_surges(
    settings: SurgeSettings,
    at: Floats,
    topic: Ints,
    person: Ints,
    weight: Floats,
    topic_count: int,
    now: float,
) -> Surges:
    """Test each topic's last window (21 days) against the baseline before it (84 days).

    at [N] float64 seconds since the epoch, topic [N] in 0..topic_count−1, person [N] ids ≥ 0, weight [N];
    signals of weight 0 and later than `now` do not count. A signal on two topics is two entries. With a Gamma
    prior (half a signal in 14 days) on the rate, the count to expect is negative binomial with shape
    .5 + baseline and success probability (84 + 14) / (84 + 14 + 21) = 98/119; the p-value is the chance of so
    many or more. `surging` asks for p ≤ .01, at least 3 signals and at least 2 people. To test several
    accounts at once, number the pairs of account and topic.
    """
    age = (now - at) / SECONDS_PER_DAY
    counted = (weight > 0) & (age >= 0)
    in_window = counted & (age < settings.window_days)
    in_baseline = counted & ~in_window & (age < settings.window_days + settings.baseline_days)
    recent = np.bincount(topic[in_window], minlength=topic_count).astype(np.int64)
    baseline = np.bincount(topic[in_baseline], minlength=topic_count).astype(np.int64)
    pairs = np.unique(np.stack((topic[in_window], person[in_window])), axis=1)
    people = np.bincount(pairs[0], minlength=topic_count).astype(np.int64)
    known_days = settings.baseline_days + settings.prior_days
    success = known_days / (known_days + settings.window_days)
    # P(X ≥ k) of the negative binomial is I(1 − p; k, n) (NIST DLMF 8.17.24); scipy.stats says the same and
    # takes seconds to import, which every start would wait for.
    tail = betainc(np.maximum(recent, 1), settings.prior_signals + baseline, 1.0 - success)
    p_value = np.where(recent > 0, tail, 1.0)
    surging = (p_value <= settings.p_value) & (recent >= settings.minimum_signals)
    return Surges(recent, baseline, people, p_value, surging & (people >= settings.minimum_people))
