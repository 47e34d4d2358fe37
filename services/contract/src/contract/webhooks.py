"""Webhooks on the wire: endpoints that a firm wants to be told at, and what became of each delivery."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from contract.base import Flag, Id, Text, Time, Url, WireModel

EventType = Literal["buyer.stage_changed", "account.surging", "asset.ready"]
DeliveryState = Literal["pending", "delivered", "failed"]


class WebhookEndpointInput(WireModel):
    url: Annotated[Url, Field(json_schema_extra={"pattern": r"^https://[^\s]+$"})] = Field(
        description="https, and not inside a private network."
    )
    events: Annotated[tuple[EventType, ...], Field(min_length=1)]
    description: Annotated[Text, StringConstraints(max_length=500)] = ""
    secret: (
        Annotated[str, StringConstraints(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$")]
        | None
    ) = Field(None, description="Your own, if it must be; else one is made and shown once.")
    rotate_secret: Flag = Field(False, description="A new secret; the old one signs too for 24 hours.")


class WebhookEndpoint(WireModel):
    id: Id
    url: str
    events: tuple[EventType, ...]
    description: str
    secret: str | None = Field(None, description="Shown once: when it was made or rotated.")
    created_at: Time
    updated_at: Time
    failing_since: Time | None = None
    disabled_at: Time | None = Field(None, description="Deliveries wait; another PUT takes them up again.")
    disabled_reason: str | None = None


class WebhookEndpoints(WireModel):
    endpoints: tuple[WebhookEndpoint, ...]


class WebhookDelivery(WireModel):
    id: int
    event_id: str
    type: str
    endpoint_id: str
    state: DeliveryState
    attempts: int
    created_at: Time
    next_attempt_at: Time | None
    finished_at: Time | None
    last_status: int | None
    last_error: str | None


class WebhookDeliveries(WireModel):
    deliveries: tuple[WebhookDelivery, ...]
    next_page_token: str | None


class WebhookMessage(WireModel):
    """What is posted to an endpoint, with the headers webhook-id, webhook-timestamp and webhook-signature."""

    type: str
    timestamp: Time
    data: dict[str, Any]


class WebhookTest(WireModel):
    event_id: str
