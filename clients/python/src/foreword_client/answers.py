"""What Foreword answers, as typed dictionaries; fields that a later version adds are simply there."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Tier = Literal["personal", "account", "stage", "popular", "static"]


class Reason(TypedDict):
    code: str
    text: str


class Item(TypedDict):
    """One recommended asset; `click_url` counts the click and leads to `url`."""

    id: str
    title: str
    url: str
    click_url: str
    type: str
    summary: str | None
    image_url: str | None
    rank: int
    score: NotRequired[float | None]
    stage: NotRequired[str | None]
    reasons: list[Reason]


class Stage(TypedDict):
    name: str
    confidence: float
    distribution: dict[str, float]
    evidence: list[dict[str, Any]]
    as_of: str


class Meta(TypedDict):
    request_id: str
    tier: Tier
    degraded: bool
    model_version: str | None
    catalogue_revision: int | None


class Recommendations(TypedDict):
    recommendation_id: str
    items: list[Item]
    stage: NotRequired[Stage | None]
    meta: Meta
    warnings: list[dict[str, str]]


class EmailBlock(TypedDict):
    html: str
    text: str
    view_url: str
    answer: Recommendations


class WebhookEndpoint(TypedDict):
    """`secret` is there once: when the endpoint was made or its secret rotated."""

    id: str
    url: str
    events: list[str]
    secret: str | None
    disabled_at: str | None
