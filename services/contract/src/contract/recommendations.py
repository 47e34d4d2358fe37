"""Recommendations on the wire: what is asked, what comes back, and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from contract.base import BuyerStage, Id, Text, Time, Whole, WireModel
from contract.filters import Filter

Channel = Literal["web", "email", "mobile", "social", "sales"]
Goal = Literal["advance", "nurture", "reactivate"]
Explain = Literal["none", "summary", "full"]
Consent = Literal["none", "contextual", "profile"]
Tier = Literal["personal", "account", "stage", "popular", "static"]
MAX_COUNT = 50


class PageContext(WireModel):
    """Where the buyer is now; the strongest hint for someone never seen before."""

    asset_id: Id | None = None
    url: Annotated[Text, StringConstraints(max_length=2000)] | None = None
    query: Annotated[Text, StringConstraints(max_length=500)] | None = None


class RecommendationRequest(WireModel):
    user_id: Id | None = None
    anonymous_id: Id | None = None
    user_token: Annotated[str, StringConstraints(max_length=200)] | None = None
    account_id: Id | None = None
    placement: Id = "default"
    channel: Channel = "web"
    count: Whole = Field(5, ge=1, le=MAX_COUNT)
    goal: Goal = "advance"
    context: PageContext = PageContext()
    exclude_ids: Annotated[tuple[Id, ...], Field(max_length=500)] = ()
    filter: Filter | None = Field(
        None,
        description='{"must":[…],"should":[…],"must_not":[…]} over declared fields; each condition is '
        '{"field":"type","any_of":["blog"]} or {"field":"published_at","from":…,"to":…}.',
    )
    consent: Consent = Field(
        "profile",
        description="How far the answer may know the buyer: not at all, by the page alone, or by what is "
        "known of them. `Sec-GPC: 1` makes it `contextual` at most.",
    )
    explain: Explain = "summary"
    as_of: Time | None = Field(None, description="Answer as if it were this moment (scope admin).")


class ExplainRequest(RecommendationRequest):
    """A recommendation request, and the asset whose place in the answer is asked about."""

    asset_id: Id


class Reason(WireModel):
    code: str
    text: str


class RecommendedAsset(WireModel):
    id: Id
    title: str
    url: str
    click_url: str | None = None
    type: str
    summary: str | None
    image_url: str | None
    rank: int
    score: float | None = Field(None, description="Left out for publishable keys.")
    stage: str | None = None
    expires_at: Time | None = Field(
        None, description="Until when it may be shown; left out for publishable keys."
    )
    reasons: tuple[Reason, ...] = ()
    terms: dict[str, float] | None = Field(
        None, description="With explain=full: terms that add up to the score."
    )


class Evidence(WireModel):
    signal: str
    at: Time | None
    effect: float = Field(description="Added log-odds of consideration or decision.")
    text: str | None = None


class BuyerStageEstimate(WireModel):
    name: BuyerStage
    confidence: float
    distribution: dict[BuyerStage, float]
    evidence: tuple[Evidence, ...] = ()
    as_of: Time


class Meta(WireModel):
    request_id: str
    tier: Tier
    degraded: bool
    model_version: str | None
    catalogue_revision: int | None
    timings_ms: dict[str, float]


class Warning(WireModel):  # noqa: A001 - the contract's own word
    code: str
    detail: str


class RecommendationResponse(WireModel):
    recommendation_id: str
    items: tuple[RecommendedAsset, ...]
    stage: BuyerStageEstimate | None = None
    meta: Meta
    warnings: tuple[Warning, ...] = ()


class SearchHit(WireModel):
    id: Id
    title: str
    url: str
    type: str
    summary: str | None
    image_url: str | None
    rank: int
    score: float


class SearchResponse(WireModel):
    items: tuple[SearchHit, ...]
    meta: dict[str, Any]
