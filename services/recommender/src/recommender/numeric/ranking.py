"""From term values to contributions and scores: weight × goal × curve, added up in one fixed order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import TERMS, Curve, FatigueSettings, RankingConfig
from recommender.numeric.asset_terms import ASSET_TERMS
from recommender.numeric.behaviour import Behaviour
from recommender.numeric.score_terms import ASSET_INDEX, BuyerInputs, asset_block, buyer_terms, spread
from recommender.numeric.tags import TagTable
from recommender.numeric.text_space import TextSpace

DAY = 86_400.0
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
UNPROVEN = TERMS.index("unproven")

EXTRA_TERMS = ("fatigue", "other_language", "rule", "diversity")
"""What is added after the score terms: all of them are 0 for most assets."""
ALL_TERMS = (*TERMS, *EXTRA_TERMS)
FATIGUE, OTHER_LANGUAGE, RULE, DIVERSITY = (ALL_TERMS.index(t) for t in EXTRA_TERMS)


def contributions(values: Floats, config: RankingConfig, goals: Sequence[str]) -> Floats:
    """float64 [T + extras, B, K] from term values [T, B, K] and each buyer's goal; the extras are left 0.

    The obvious way; `score_parts` gives the same bits faster.
    """
    out = np.zeros((len(ALL_TERMS), *values.shape[1:]))
    weights = _weights(config, goals)
    for i, term in enumerate(TERMS):
        if config.weights[i]:
            shaped = _shaped(
                values[i], values[UNPROVEN], config.curves.get(term), config.unproven_curves.get(term)
            )
            out[i] = shaped * weights[:, i, None]
    return out


def score_parts(
    catalogue: Catalogue,
    space: TextSpace,
    tags: TagTable,
    behaviour: Behaviour,
    config: RankingConfig,
    buyers: Sequence[BuyerInputs],
    goals: Sequence[str],
    rows: Rows,
    now: float,
) -> Floats:
    """float64 [T + extras, B, K]: `contributions` of `score_terms`, without a copy of the values; what speaks
    of an asset alone is weighed once an asset where the block is larger than the catalogue.
    """
    parts = np.zeros((len(ALL_TERMS), *rows.shape))
    own, which = asset_block(catalogue, behaviour, config, rows, now)
    unproven_asset = own[-1].copy()
    unproven = spread(unproven_asset[None], which, rows)[0]
    buyer_terms(parts, catalogue, space, tags, behaviour, config, buyers, rows, unproven)
    for term in config.curves.keys() | config.unproven_curves.keys():
        curve, more = config.curves.get(term), config.unproven_curves.get(term)
        if term in ASSET_TERMS:
            alone = own[ASSET_TERMS.index(term)]
            alone[:] = _shaped(alone, unproven_asset, curve, more)
        else:
            part = parts[TERMS.index(term)]
            part[:] = _shaped(part, unproven, curve, more)
    parts[ASSET_INDEX] = spread(own, which, rows)
    parts[: len(TERMS)] *= _weights(config, goals).T[:, :, None]
    return parts


def _weights(config: RankingConfig, goals: Sequence[str]) -> Floats:
    """float64 [B, T]: the terms' weights under each buyer's goal."""
    weights: Floats = np.asarray(config.weights) * np.array([config.goals[goal] for goal in goals])
    return weights


def _shaped(values: Floats, unproven: Floats, curve: Curve | None, more: Curve | None) -> Floats:
    shaped = values if curve is None else np.interp(values, curve.x, curve.y)
    if more is not None:
        shaped = shaped + unproven * np.interp(values, more.x, more.y)
    return shaped


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
