"""What one buyer is interested in, read from a profile: engaged rows with decayed weights, and query
vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.profile import Profile
from recommender.domain.ranking_config import InterestSettings
from recommender.numeric.text_space import TextSpace

DAY = 86_400.0
F32 = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """`rows` int64 [E], engaged assets that the catalogue still has, by time; `long`, `recent` float64 [E]
    weights; `vectors` float32 [E, d] centred.
    """

    rows: NDArray[np.int64]
    last_at: Floats
    long: Floats
    recent: Floats
    vectors: F32

    def query(self, weights: Floats) -> F32:
        """float32 [d]: the weighted mean of what was engaged with, unit norm, or zeros."""
        if not len(self.rows):
            return np.zeros(self.vectors.shape[1], dtype=np.float32)
        total: F32 = weights.astype(np.float32) @ self.vectors
        norm = float(np.linalg.norm(total))
        return total / np.float32(norm) if norm > 0 else total

    def attended(self, most: int) -> tuple[F32, F32]:
        """The `most` weightiest engagements or fewer: vectors float32 [E, d] and weights float32 [E]."""
        chosen = np.lexsort((-self.last_at, -self.long))[:most]
        return self.vectors[chosen], self.long[chosen].astype(np.float32)


def read_interest(
    profile: Profile, catalogue: Catalogue, space: TextSpace, settings: InterestSettings, now: float
) -> Interest:
    """Interest at `now` (epoch seconds) in the latest `settings.remembered` engagements of a profile.

    A weight is log(1 + engagement weight), halved every half-life since the last engagement.
    """
    first = max(0, len(profile.asset_ids) - settings.remembered)
    found = [
        (row, first + i)
        for i, asset_id in enumerate(profile.asset_ids[first:])
        if (row := catalogue.row_of.get(asset_id)) is not None
    ]
    rows = np.array([row for row, _ in found], dtype=np.int64)
    positions = np.array([position for _, position in found], dtype=np.int64)
    age = np.maximum(0.0, now - profile.last_at[positions]) / DAY
    strength = np.log1p(profile.weights[positions])
    return Interest(
        rows=rows,
        last_at=profile.last_at[positions],
        long=strength * np.exp2(-age / settings.long_half_life_days),
        recent=strength * np.exp2(-age / settings.recent_half_life_days),
        vectors=space.centred(catalogue, rows),
    )
