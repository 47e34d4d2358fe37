"""Webhooks out: what is told, to whom, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, get_args

from contract.webhooks import EventType

STAGE_CHANGED, SURGING, READY, TEST = "buyer.stage_changed", "account.surging", "asset.ready", "webhook.test"
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
# At once, then ever more patiently for about three days, as the Standard Webhooks specification advises.
_WAITS_SECONDS = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MOST_ATTEMPTS = len(_WAITS_SECONDS) + 1
PREVIOUS_SECRET_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a firm wants to be told; `previous_secret` also signs until `previous_until`, for a rotation."""

    endpoint_id: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: str
    previous_secret: str | None
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None

    def secrets_at(self, now: datetime) -> list[str]:
        if self.previous_secret is None or self.previous_until is None or self.previous_until <= now:
            return [self.secret]
        return [self.secret, self.previous_secret]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`buyer_id` is the buyer it tells of, so that an erasure finds it."""

    event_id: str
    type: str
    data: dict[str, Any]
    buyer_id: int | None = None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One attempt to be made: what to send, and where."""

    delivery_id: int
    event_id: str
    attempt: int
    body: str
    endpoint: Endpoint


def next_wait(attempt: int, rng: Random) -> timedelta | None:
    """How long to wait after the `attempt`-th try (from 1) failed, spread by a fifth; None: give up."""
    if attempt >= MOST_ATTEMPTS:
        return None
    return timedelta(seconds=_WAITS_SECONDS[attempt - 1] * rng.uniform(0.9, 1.1))
