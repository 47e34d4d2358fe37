"""Why an asset is recommended, in a code for machines and a sentence for a marketer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import STAGES, AssetCard, Catalogue
from recommender.domain.ranking_config import TERMS
from recommender.numeric.interest import Interest
from recommender.numeric.score_terms import FIT, NEXT

Floats = NDArray[np.float64]
MOST_REASONS = 3
LEAST_SHARE = 0.12
STATE_NAMES = ("unaware", "nurture", "awareness", "consideration", "decision", "customer", "renewal")
Reason = tuple[str, str]


def reasons_for(
    catalogue: Catalogue,
    row: int,
    gain: Floats,
    *,
    interest: Interest,
    together: Sequence[tuple[int, float]],
    stage: Floats | None,
    context_title: str | None,
    persona: str | None,
    industry: str | None,
) -> tuple[Reason, ...]:
    """The strongest reasons, at most three.

    `gain` [T] over TERMS is what each term gave this asset above what it gave the middling candidate: a term
    that says the same of every asset is no reason. `together`: (row of an engaged asset, strength), strongest
    first.
    """
    order = np.argsort(-gain, kind="stable")
    floor = LEAST_SHARE * max(float(gain[gain > 0].sum()), 1e-12)
    found: dict[str, Reason] = {}
    for index in order:
        if gain[index] <= max(floor, 1e-9) or len(found) == MOST_REASONS:
            break
        reason = _reason(
            TERMS[index],
            catalogue,
            row,
            interest=interest,
            together=together,
            stage=stage,
            context_title=context_title,
            persona=persona,
            industry=industry,
        )
        if reason is not None:
            found.setdefault(reason[0], reason)
    return tuple(found.values()) or (("eligible", "New to this buyer and allowed here"),)


def reasons_again(catalogue: Catalogue, row: int, last_at: float) -> tuple[Reason, ...]:
    """Why something is shown that the buyer has used before; `last_at` epoch seconds."""
    day = datetime.fromtimestamp(last_at, UTC)
    return (
        ("again", f"Worth coming back to: they last {_used(catalogue.cards[row])} on {day.day} {day:%B}"),
    )


def _reason(
    term: str,
    catalogue: Catalogue,
    row: int,
    *,
    interest: Interest,
    together: Sequence[tuple[int, float]],
    stage: Floats | None,
    context_title: str | None,
    persona: str | None,
    industry: str | None,
) -> Reason | None:
    card = catalogue.cards[row]
    match term:
        case "interest_recent" | "interest_long" | "interest_attention" | "interest_unproven" | "words":
            return _because_of(catalogue, row, interest)
        case "together" | "together_recent" | "walk" | "linked" | "linked_text":
            if not together:
                return None
            return (
                "engaged_together",
                f"Readers of “{_title(catalogue.cards[together[0][0]])}” also chose this",
            )
        case "interest_account":
            return "account_interest", "Close to what their colleagues have been reading"
        case "context":
            return (
                "context",
                f"Goes with “{context_title}”" if context_title else "Goes with the page they are on",
            )
        case "query":
            return "query", "Answers what they asked for"
        case "stage_fit" | "progress" if stage is not None:
            return _stage_reason(catalogue, row, stage)
        case "quality":
            return "quality", "Followed more often than others when shown"
        case "fresh_day" | "fresh_month":
            return "fresh", "Published recently"
        case "newness":
            return "fresh", "Published recently"
        case "just_read":
            return "trending", "Being read a lot right now"
        case "kindred":
            return "kindred", "Chosen lately by readers with the same interests"
        case "taste":
            return "kindred", "Readers with the same interests choose it"
        case "since_last_visit":
            return "new_since_visit", "New since their last visit"
        case "popular_hours" | "popular_day":
            return "trending", "Being read a lot right now"
        case "popular_days" | "popular_weeks" | "popular_season":
            return "popular", f"Popular with readers {_WINDOW[term]}"
        case "role_match" if persona and persona in card.personas:
            return "role", f"Made for their role ({persona})"
        case "industry_match" if industry and industry in card.industries:
            return "industry", f"About their industry ({industry})"
        case "tag_affinity":
            topics = ", ".join(card.topics[:2])
            return "topic", f"On topics they follow ({topics})" if topics else "Like what they usually choose"
        case "group_gap" if card.personas:
            return "group_gap", f"For {card.personas[0]}, whom we have not reached at this account"
    return None


_WINDOW = {"popular_days": "this week", "popular_weeks": "this month", "popular_season": "this season"}


def _because_of(catalogue: Catalogue, row: int, interest: Interest) -> Reason | None:
    if not len(interest.rows) or not catalogue.has_vector[row]:
        return None
    near = interest.vectors @ catalogue.vectors[row] * np.sqrt(np.maximum(interest.long, 0.0))
    best = int(np.argmax(near))
    if near[best] <= 0:
        return None
    card = catalogue.cards[int(interest.rows[best])]
    day = datetime.fromtimestamp(float(interest.last_at[best]), UTC)
    return "interest", f"Because they {_verb(card)} “{_title(card)}” on {day.day} {day:%B}"


def _stage_reason(catalogue: Catalogue, row: int, stage: Floats) -> Reason:
    content = int(catalogue.stage[row].argmax())
    state = int(stage.argmax())
    if stage.sum() < 1 - 1e-6:
        return "introduction", "A good first read for somebody new"
    if content == int(FIT[state].argmax()):
        return "stage_fit", f"Fits the {STAGES[content]} stage"
    if content == int(NEXT[state].argmax()):
        return "next_stage", f"Helps on from {STATE_NAMES[state]} to {STAGES[content]}"
    return "stage_fit", f"Also serves the {STAGES[int(FIT[state].argmax())]} stage"


def _used(card: AssetCard) -> str:
    return "used it" if card.type in ("roi_tool", "trial") else "read it"


def _verb(card: AssetCard) -> str:
    if "webinar" in card.type:
        return "attended"
    if "video" in card.type:
        return "watched"
    return "listened to" if card.type == "podcast" else "read"


def _title(card: AssetCard) -> str:
    return card.title if len(card.title) <= 80 else card.title[:77].rstrip() + "…"
