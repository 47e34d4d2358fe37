"""From term values to contributions and scores: weight × goal × curve, added up in one fixed order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.domain.ranking_config import TERMS, FatigueSettings, RankingConfig

DAY = 86_400.0
Floats = NDArray[np.float64]

EXTRA_TERMS = ("fatigue", "rule", "diversity")
"""What is added after the score terms: all of them are 0 for most assets."""
ALL_TERMS = (*TERMS, *EXTRA_TERMS)
FATIGUE, RULE, DIVERSITY = (ALL_TERMS.index(t) for t in EXTRA_TERMS)


def contributions(values: Floats, config: RankingConfig, goal: str) -> Floats:
    """float64 [T + extras, K] from term values [T, K] of one buyer; the extras are left 0."""
    out = np.zeros((len(ALL_TERMS), *values.shape[1:]))
    factors = config.goals[goal]
    for i, term in enumerate(TERMS):
        weight = config.weights[i] * factors[i]
        curve = config.curves.get(term)
        if curve is not None:
            factor = weight if config.weights[i] else 0.0
            out[i] = factor * np.interp(values[i], curve.x, curve.y)
        elif weight:
            out[i] = weight * values[i]
    return out


def total(parts: Floats) -> Floats:
    """The score: parts [T + extras, …] added one after the other, so that anyone adding them gets the same
    bits.
    """
    score = np.zeros(parts.shape[1:])
    for part in parts:
        score = score + part
    return score


def fatigue(shown_count: Floats, shown_last_at: Floats, settings: FatigueSettings, now: float) -> Floats:
    """float64 [K], 0 or below: grows with shows that were not followed, fades with time since the last
    one.
    """
    age = np.maximum(0.0, now - shown_last_at) / DAY
    weariness = shown_count / (shown_count + settings.shows_half)
    penalty: Floats = -settings.penalty * weariness * np.exp2(-age / settings.recovery_days)
    return penalty
