"""From term values to contributions and scores: weight × goal × curve, added up in one fixed order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.domain.ranking_config import TERMS, FatigueSettings, RankingConfig

DAY = 86_400.0
Floats = NDArray[np.float64]

EXTRA_TERMS = ("fatigue", "rule", "diversity")
"""What is added after the score terms: all of them are 0 for most assets."""
ALL_TERMS = (*TERMS, *EXTRA_TERMS)
FATIGUE, RULE, DIVERSITY = (ALL_TERMS.index(t) for t in EXTRA_TERMS)


def contributions(values: Floats, config: RankingConfig, goals: Sequence[str]) -> Floats:
    """float64 [T + extras, B, K] from term values [T, B, K] and each buyer's goal; the extras are left 0."""
    out = np.zeros((len(ALL_TERMS), *values.shape[1:]))
    factors = np.array([config.goals[goal] for goal in goals])  # [B, T]
    for i, term in enumerate(TERMS):
        if not config.weights[i]:
            continue
        weight = config.weights[i] * factors[:, i, None]
        curve = config.curves.get(term)
        out[i] = weight * (values[i] if curve is None else np.interp(values[i], curve.x, curve.y))
    return out


def total(parts: Floats) -> Floats:
    """The score: parts [T + extras, …] added one after the other, so that anyone adding them gets the same
    bits.
    """
    score = np.zeros(parts.shape[1:])
    for part in parts:
        score += part
    return score


def fatigue(shown_count: Floats, shown_last_at: Floats, settings: FatigueSettings, now: float) -> Floats:
    """float64 [K], 0 or below: grows with shows that were not followed, fades with time since the last
    one.
    """
    age = np.maximum(0.0, now - shown_last_at) / DAY
    weariness = shown_count / (shown_count + settings.shows_half)
    penalty: Floats = -settings.penalty * weariness * np.exp2(-age / settings.recovery_days)
    return penalty
