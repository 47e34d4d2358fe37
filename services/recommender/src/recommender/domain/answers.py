"""What is remembered of an answer: what was shown, what was left to chance, and what it lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import STAGES, Catalogue
from recommender.domain.profile import Profile

FALLBACK, SHORT, STAGE, PERSONA, TOPIC = "fallback", "short", "stage", "persona", "topic"
"""Why an answer was weak: it was made for anybody; it held fewer assets than asked; none of its assets fits
the buyer's stage best, is made for their role, or is about what they read."""
_TOPICS_KEPT = 3
_ENGAGEMENTS_READ = 12


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One row of the log. `asset_ids` in the order of rank; `chance_rank` is 1-based, with the exact
    `propensity` of the asset that stood there, both None where nothing was left to chance.
    """

    at: datetime
    recommendation_id: str
    placement: str
    channel: str
    goal: str
    tier: str
    degraded: bool
    ranking: str
    catalogue_revision: int
    identity_id: int | None
    account_id: int | None
    stage: str | None
    persona: str | None
    topics: tuple[str, ...]
    asked: int
    asset_ids: tuple[str, ...]
    chance_rank: int | None
    propensity: float | None
    weak: tuple[str, ...]


def topics_of(profile: Profile, context_asset_id: str | None, catalogue: Catalogue) -> tuple[str, ...]:
    """What the buyer reads about: the topics of the page they are on and of what they engaged with last,
    the most frequent first, names deciding among equals.
    """
    counts: dict[str, int] = {}
    ids = [*profile.asset_ids[-_ENGAGEMENTS_READ:], *([context_asset_id] if context_asset_id else [])]
    for asset_id in ids:
        row = catalogue.row_of.get(asset_id)
        for topic in catalogue.cards[row].topics if row is not None else ():
            counts[topic] = counts.get(topic, 0) + 1
    return tuple(sorted(counts, key=lambda topic: (-counts[topic], topic))[:_TOPICS_KEPT])


def content_stage(stage: NDArray[np.float64] | None, fit: NDArray[np.float64]) -> str | None:
    """The stage of content that fits a buyer best. `stage` float64 [S]; `fit` float64 [S, 4]."""
    return None if stage is None else STAGES[int((stage @ fit).argmax())]


def weaknesses(
    rows: Sequence[int],
    catalogue: Catalogue,
    *,
    asked: int,
    fallback: bool,
    stage: str | None,
    persona: str | None,
    topics: Sequence[str],
) -> tuple[str, ...]:
    """What an answer of these rows lacked; nothing is lacking of what is not known of the buyer."""
    cards = [catalogue.cards[row] for row in rows]
    lacking: Mapping[str, bool] = {
        FALLBACK: fallback,
        SHORT: len(rows) < asked,
        STAGE: stage is not None and all(STAGES[int(catalogue.stage[row].argmax())] != stage for row in rows),
        PERSONA: persona is not None and all(persona not in card.personas for card in cards),
        TOPIC: bool(topics) and all(not set(topics) & set(card.topics) for card in cards),
    }
    return tuple(name for name, lacks in lacking.items() if lacks)
