"""Signals on the wire: the Segment tracking shapes. Events come from many clients, so unknown fields pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.base import Time

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


class SignalFlag(BaseModel):
    code: str
    detail: str


class SignalAsset(BaseModel):
    """The asset that an event is about: how it was found, and whether it is there now."""

    id: str | None
    found: bool
    by: Literal["asset_id", "url"] | None
    title: str | None = None
    type: str | None = None
    status: str | None = None


class SignalIdentity(BaseModel):
    kind: Literal["user", "anonymous"]
    id: str


class SignalOwner(SignalIdentity):
    joins: list[SignalIdentity] = Field(description="Ids that the event says belong to the same buyer.")


class SignalClock(BaseModel):
    stated: Any = Field(None, description="The time as the event gives it.")
    corrected_seconds: float | None = Field(None, description="By how much the skew of the clock moved it.")
    received_at: Time


class JudgedSignal(BaseModel):
    """What one event would be taken for; only `dead_letter` where it would not be taken."""

    accepted: bool
    dead_letter: SignalFlag | None = None
    call: EventKind | None = None
    type: str | None = Field(None, description="The kind of signal, from the table of events.")
    weight: float | None = Field(None, description="How much it says about interest in the asset.")
    stage_signal: str | None = Field(None, description="What it says about the buying stage.")
    asset: SignalAsset | None = None
    identity: SignalOwner | None = None
    account_id: str | None = None
    at: Time | None = None
    clock: SignalClock | None = None
    flags: list[SignalFlag] = []


class SignalValidation(BaseModel):
    events: list[JudgedSignal]
    left_out: int = Field(description="Events beyond the first 500, which are not described.")


class IntakeOutcome(BaseModel):
    accepted: int
    duplicates: int
    dead_letters: int


class RowProblem(BaseModel):
    line: int
    detail: str


class OpportunityOutcome(IntakeOutcome):
    rows: int
    problems: list[RowProblem] = Field(description="Rows that were not taken, the first hundred.")
