"""What decides the order: score terms, their weights, and every other number of the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

POPULARITY_TERMS = ("popular_hours", "popular_day", "popular_days", "popular_weeks", "popular_season")
TERMS = (
    "interest_recent",
    "interest_long",
    "interest_attention",
    "interest_account",
    "interest_unproven",
    "context",
    "query",
    "stage_fit",
    "progress",
    "quality",
    "fresh_day",
    "fresh_month",
    "newness",
    "just_read",
    "since_last_visit",
    *POPULARITY_TERMS,
    "together",
    "together_recent",
    "walk",
    "linked",
    "linked_text",
    "words",
    "kindred",
    "taste",
    "role_match",
    "industry_match",
    "language_match",
    "tag_affinity",
    "group_gap",
    "promise",
    "unproven",
)
"""The score terms in the order in which they are added up."""
LINK_TERMS = ("linked", "linked_text", "words", "promise")
"""Those that speak by links between assets, which are learnt for them alone."""
GOALS = ("advance", "nurture", "reactivate")


@dataclass(frozen=True, slots=True)
class InterestSettings:
    recent_half_life_days: float
    long_half_life_days: float
    remembered: int
    attended: int
    attention_temperature: float


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """How many candidates each source gives, and how many are scored in all (`width`)."""

    width: int
    recent: int
    long: int
    context: int
    query: int
    account: int
    popular: int
    fresh: int
    together: int
    stage: int


@dataclass(frozen=True, slots=True)
class FreshnessSettings:
    day_half_life_days: float
    month_half_life_days: float


@dataclass(frozen=True, slots=True)
class QualitySettings:
    prior_click_rate: float
    prior_impressions: float


@dataclass(frozen=True, slots=True)
class LastingSettings:
    """Types of assets that don't age: of their freshness only `share` counts."""

    types: tuple[str, ...] = ()
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class AgainSettings:
    """Types that a buyer comes back to, such as prices and tools: shown again `after_days` since the buyer
    last engaged with one, at a `penalty`, so that what is new to them goes first.
    """

    types: tuple[str, ...] = ()
    after_days: float = 0.0
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class OtherLanguageSettings:
    """What an asset loses whose language a buyer who has stated one neither stated nor reads: less than
    `least_share` of what they engaged with is in it.
    """

    penalty: float = 0.0
    least_share: float = 0.0


@dataclass(frozen=True, slots=True)
class FatigueSettings:
    penalty: float
    shows_half: float
    recovery_days: float
    cap_shows: int
    cap_days: float


@dataclass(frozen=True, slots=True)
class RerankSettings:
    diversity: float
    explore_share: float
    explore_pool: int
    explore_from_count: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear shape: `x` ascending, `y` of the same length; flat outside."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RankingConfig:
    """What decides the order. `weights` and `goals` are in the order of TERMS.

    A term counts weight × (curve(value) + unproven × unproven_curve(value)), where `unproven` is 1 for an
    asset that nobody engaged with and falls to 0: what holds of proven assets need not hold of new ones.
    """

    name: str
    version: int
    interest: InterestSettings
    candidates: CandidateSettings
    popularity_half_lives: tuple[float, ...]  # seconds, in the order of POPULARITY_TERMS
    freshness: FreshnessSettings
    lasting: LastingSettings
    again: AgainSettings
    other_language: OtherLanguageSettings
    quality: QualitySettings
    weights: tuple[float, ...]
    curves: Mapping[str, Curve]
    unproven_curves: Mapping[str, Curve]
    goals: Mapping[str, tuple[float, ...]]
    fatigue: FatigueSettings
    rerank: RerankSettings

    def weighs_any(self, terms: Sequence[str]) -> bool:
        """Whether one of these terms has a weight."""
        return any(self.weights[TERMS.index(term)] for term in terms)
