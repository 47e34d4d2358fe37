"""What the ranking is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recommender.domain.filters import Filter
from recommender.domain.profile import Profile, empty_profile

TIERS = ("personal", "account", "stage", "popular", "static")


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """What the content team set for a placement.

    `pin`: ids shown first, in this order, where eligible and not yet engaged with. `boost` and `bury` add to
    and take from the score of what a filter holds for. `exclude`, `exclude_ids`: never shown. `quotas`: of
    what a filter holds for, at most so many in an answer; `most_of_type`: at most so many of one type;
    `most_shows`: at most so many shows of an asset to one buyer, who then rests from it for `rest_days`
    (None: as the configuration says). `static`: ids shown first where nothing is known of the buyer or of
    anybody.
    """

    pin: tuple[str, ...] = ()
    boost: tuple[tuple[Filter, float], ...] = ()
    bury: tuple[tuple[Filter, float], ...] = ()
    exclude: Filter | None = None
    exclude_ids: frozenset[str] = frozenset()
    most_of_type: int | None = None
    most_shows: int | None = None
    rest_days: float | None = None
    quotas: tuple[tuple[Filter, int], ...] = ()
    static: tuple[str, ...] = ()

    @property
    def limits_kinds(self) -> bool:
        """Whether the best candidates may not be enough to fill an answer."""
        return bool(self.quotas) or self.most_of_type is not None


NO_RULES = PlacementRules()


@dataclass(frozen=True, slots=True, eq=False)
class RankRequest:
    """One question. `stage` float64 [7] over U, L, A, C, D, K, R, or None when nothing is known.

    `query_vector` float32 [d] is the embedding of the context's text. `filter_mask` bool [N] over the
    catalogue. `seed` decides the exploration slot; nothing else is random. `personalise` False: context and
    popularity only.
    """

    profile: Profile = field(default_factory=empty_profile)
    stage: NDArray[np.float64] | None = None
    account_profile: Profile | None = None
    context_asset_id: str | None = None
    query_vector: NDArray[np.float32] | None = None
    goal: str = "advance"
    count: int = 5
    exclude_ids: frozenset[str] = frozenset()
    filter_mask: NDArray[np.bool_] | None = None
    persona: str | None = None
    industry: str | None = None
    language: str | None = None
    placement: str = ""
    rules: PlacementRules = NO_RULES
    seed: int = 0
    personalise: bool = True


@dataclass(frozen=True, slots=True)
class RankedAsset:
    """One asset of an answer. `terms` sum to `score`, added in their order; `reasons` are (code, sentence).

    `propensity` is the chance, before the dice fell, that this asset stood in this place.
    """

    asset_id: str
    rank: int
    score: float
    terms: Mapping[str, float]
    reasons: tuple[tuple[str, str], ...]
    propensity: float


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    items: tuple[RankedAsset, ...]
    tier: str
    warnings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an asset is, or is not, in the answer.

    `exclusions` are (code, sentence); `would_rank` is the rank it would have among everything eligible if
    none of them held; `rank` its rank in the answer, None if it isn't in it. `terms` sum to `score`.
    """

    asset_id: str
    rank: int | None
    would_rank: int | None
    score: float | None
    terms: Mapping[str, float]
    exclusions: tuple[tuple[str, str], ...]
    reasons: tuple[tuple[str, str], ...]
    tier: str
