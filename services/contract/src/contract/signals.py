"""Signals on the wire: the Segment tracking shapes. Events come from many clients, so unknown fields pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EventKind = Literal["track", "page", "screen", "identify", "group", "alias"]
MAX_EVENT_BYTES = 32 * 1024
MAX_BATCH_BYTES = 4 * 1024 * 1024

# Segment's short browser paths, and what they mean.
SHORT_PATHS: dict[str, str] = {
    "t": "track",
    "p": "page",
    "s": "screen",
    "i": "identify",
    "g": "group",
    "a": "alias",
    "b": "batch",
    "m": "metrics",
}


class TrackingEvent(BaseModel):
    """One event as tracking clients send it; a client may add what it likes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: EventKind | None = None
    messageId: str | None = None  # noqa: N815 - Segment's spelling
    userId: str | int | None = None  # noqa: N815
    anonymousId: str | int | None = None  # noqa: N815
    previousId: str | None = None  # noqa: N815
    groupId: str | int | None = None  # noqa: N815
    event: str | None = None
    name: str | None = None
    timestamp: str | None = None
    originalTimestamp: str | None = None  # noqa: N815
    sentAt: str | None = None  # noqa: N815
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


class TrackingBatch(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    batch: Annotated[list[TrackingEvent], Field(min_length=1)]
    sentAt: str | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815
    context: dict[str, Any] | None = None


class TrackingSuccess(BaseModel):
    success: Literal[True] = True
