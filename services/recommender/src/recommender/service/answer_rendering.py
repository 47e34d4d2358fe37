"""Putting what was ranked into the contract's words."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, get_args

import numpy as np

from contract.recommendations import (
    BuyerStageEstimate,
    Meta,
    Reason,
    RecommendationResponse,
    RecommendedAsset,
    Tier,
    Warning,
)
from recommender.domain.buyer_state import moment
from recommender.domain.catalogue import STAGES, AssetCard, Catalogue
from recommender.domain.ranking_request import NO_RULES, RankedAnswer
from recommender.service.request_preparation import PreparedRequest
from servicekit import request_context

_TIERS: tuple[Tier, ...] = get_args(Tier)


class Described(TypedDict):
    """What every answer says of an asset."""

    id: str
    title: str
    url: str
    type: str
    summary: str | None
    image_url: str | None


def described(card: AssetCard) -> Described:
    return {
        "id": card.asset_id,
        "title": card.title,
        "url": card.url,
        "type": card.type,
        "summary": card.summary,
        "image_url": card.image_url,
    }


def likeliest_stage(catalogue: Catalogue, row: int) -> str:
    return STAGES[int(catalogue.stage[row].argmax())]


def shown_until(catalogue: Catalogue, row: int) -> datetime | None:
    """When the asset of this row expires."""
    at = float(catalogue.expires_at[row])
    return moment(at) if np.isfinite(at) else None


def tier_named(name: str) -> Tier:
    """The tier of this name; `popular` for one that an older version wrote down."""
    return next((tier for tier in _TIERS if tier == name), "popular")


def meta(
    catalogue: Catalogue, recommendation_id: str, tier: Tier, degraded: bool, timings: dict[str, float]
) -> Meta:
    context = request_context.current()
    return Meta(
        request_id=context.request_id if context else recommendation_id,
        tier=tier,
        degraded=degraded,
        model_version=catalogue.model_id,
        catalogue_revision=catalogue.revision,
        timings_ms=timings,
    )


def rendered(
    prepared: PreparedRequest,
    answer: RankedAnswer,
    catalogue: Catalogue,
    stage: BuyerStageEstimate | None,
    *,
    degraded: bool,
    timings: dict[str, float],
) -> RecommendationResponse:
    """`degraded`: the buyer could not be read. `timings` in milliseconds."""
    warnings = [*prepared.warnings, *(Warning(code=c, detail=d) for c, d in answer.warnings)]
    if not answer.items and prepared.ranked.rules is not NO_RULES:
        warnings.append(
            Warning(
                code="rules_leave_nothing",
                detail="The rules of this placement, with the filter if any, leave nothing to show.",
            )
        )
    if degraded:
        warnings.append(
            Warning(code="buyer_unknown", detail="The buyer could not be read; this answer is for anybody.")
        )
    # What was made here need not be checked field by field.
    return RecommendationResponse.model_construct(
        recommendation_id=prepared.recommendation_id,
        items=tuple(_items(answer, catalogue, prepared.request.explain)),
        stage=stage,
        meta=meta(catalogue, prepared.recommendation_id, tier_named(answer.tier), degraded, timings),
        warnings=tuple(warnings),
    )


def _items(answer: RankedAnswer, catalogue: Catalogue, explained: str) -> list[RecommendedAsset]:
    items = []
    for item in answer.items:
        row = catalogue.row_of[item.asset_id]
        items.append(
            RecommendedAsset.model_construct(
                **described(catalogue.cards[row]),
                click_url=None,
                rank=item.rank,
                score=round(item.score, 6) if explained != "full" else item.score,
                stage=likeliest_stage(catalogue, row),
                expires_at=shown_until(catalogue, row),
                reasons=()
                if explained == "none"
                else tuple(Reason(code=code, text=text) for code, text in item.reasons),
                terms=dict(item.terms) if explained == "full" else None,
            )
        )
    return items
