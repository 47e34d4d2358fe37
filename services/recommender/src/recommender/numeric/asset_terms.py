"""The score terms that speak of the asset alone, whoever the buyer: how fresh, how popular, how proven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import POPULARITY_TERMS, LastingSettings, RankingConfig
from recommender.numeric.behaviour import AlignedBehaviour, Behaviour
from recommender.numeric.tags import tag_table

DAY = 86_400.0
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

ASSET_TERMS = (
    "quality",
    "fresh_day",
    "fresh_month",
    "newness",
    "just_read",
    "promise",
    *POPULARITY_TERMS,
    "unproven",
)
_PROMISE = ASSET_TERMS.index("promise")
_POPULARITY = slice(ASSET_TERMS.index(POPULARITY_TERMS[0]), ASSET_TERMS.index(POPULARITY_TERMS[-1]) + 1)
POPULARITY_GRAIN, POPULARITY_CEILING = 20.0, 1e4
PROVEN_BUYERS = 3.0
LOG_HOURS = 10.0  # e^10 hours, two and a half years, are as good as for ever


def asset_terms(
    catalogue: Catalogue,
    aligned: AlignedBehaviour,
    behaviour: Behaviour,
    config: RankingConfig,
    rows: Rows,
    now: float,
) -> Floats:
    """float64 [S, n] over ASSET_TERMS, each 0 to 1, for rows int64 [n]; each row is computed by itself."""
    out = np.empty((len(ASSET_TERMS), len(rows)))
    quality, freshness = config.quality, config.freshness
    rate = (aligned.clicks[rows] + quality.prior_click_rate * quality.prior_impressions) / (
        aligned.impressions[rows] + quality.prior_impressions
    )
    # A rate at the prior is worth one half, three times the prior three quarters.
    out[0] = rate / (rate + quality.prior_click_rate) if quality.prior_click_rate else rate
    since = np.stack([catalogue.published_at[rows], aligned.last_engaged_at[rows]])
    np.maximum(now - since, 0.0, out=since)
    days = since[0] / -DAY
    out[1] = np.exp2(days / freshness.day_half_life_days)
    out[2] = np.exp2(days / freshness.month_half_life_days)
    # 1 for just now, 0 for for ever ago or never, falling with the logarithm of the hours since.
    since /= 3_600.0
    np.clip(1.0 - np.log1p(since, out=since) / LOG_HOURS, 0.0, 1.0, out=out[3:5])
    if config.lasting.types:
        out[1:4] *= _ageing(catalogue, config.lasting)[rows]
    elapsed = max(0.0, now - behaviour.as_of)
    decay = POPULARITY_GRAIN * np.exp2(-elapsed / np.asarray(behaviour.half_lives))
    decayed = np.ascontiguousarray(aligned.popularity[rows].T) * decay[:, None]
    np.log1p(decayed, out=decayed)
    np.minimum(decayed / np.log1p(POPULARITY_GRAIN * POPULARITY_CEILING), 1.0, out=out[_POPULARITY])
    out[_PROMISE] = behaviour.linked.promise.take(behaviour.linked.places(catalogue)[rows])
    out[-1] = np.exp(-aligned.buyers[rows] / PROVEN_BUYERS)
    return out


def _ageing(catalogue: Catalogue, lasting: LastingSettings) -> Floats:
    """float64 [N]: how much an asset's freshness counts, by its type."""
    tags = tag_table(catalogue)
    of_type = np.ones(tags.size)
    of_type[[i for t in lasting.types if (i := tags.find("type", t)) >= 0]] = lasting.share
    ageing: Floats = of_type.take(tags.type_of_row)
    return ageing
