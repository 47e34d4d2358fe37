"""Sending what is in the outbox: signed, at least once, ever more patiently, and only to public addresses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import sqlalchemy as sa
from standardwebhooks import Webhook

from recommender.domain.webhooks import DueDelivery, next_wait
from recommender.service.clock import Clock
from recommender.store import webhooks as store
from servicekit import logs
from servicekit.outbound import OutboundClient, OutboundFailed, OutboundRefused

_AT_ONCE = 16
_PARALLEL = 4
_GONE = 410
_KEPT_FOR = timedelta(days=30)
_PURGED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to; `status` is None where there was no answer."""

    status: int | None
    error: str

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """One `step` sends what is due. It claims each first: if this process dies, another sends it."""

    def __init__(
        self,
        engine: sa.Engine,
        client: OutboundClient,
        clock: Clock,
        rng: Random,
        *,
        disable_after: timedelta,
        observe: Callable[[str], None],
        disabled: Callable[[int], None],
    ) -> None:
        self._engine = engine
        self._client = client
        self._clock = clock
        self._rng = rng
        self._disable_after = disable_after
        self._observe = observe
        self._disabled = disabled
        self._log = logs.get("recommender")
        self._purged_at = clock()

    def step(self) -> int:
        """→ how many attempts were made."""
        made = 0
        while due := self._claim():
            with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="webhook") as pool:
                for delivery, result in zip(due, pool.map(self._attempt, due), strict=True):
                    self._settle(delivery, result)
            made += len(due)
        now = self._clock()
        with self._engine.begin() as connection:
            self._disabled(store.disabled_count(connection))
            if now - self._purged_at >= _PURGED_EVERY:
                self._purged_at = now
                store.purge(connection, now - _KEPT_FOR)
        return made

    def _claim(self) -> list[DueDelivery]:
        with self._engine.begin() as connection:
            return store.claim_due(connection, self._clock(), _AT_ONCE)

    def _attempt(self, due: DueDelivery) -> Result:
        now = self._clock()
        signatures = [
            Webhook(secret).sign(due.event_id, now, due.body) for secret in due.endpoint.secrets_at(now)
        ]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": due.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            answer = self._client.request("POST", due.endpoint.url, body=due.body.encode(), headers=headers)
        except (OutboundRefused, OutboundFailed) as error:
            return Result(None, str(error))
        if 200 <= answer.status < 300:
            return Result(answer.status, "")
        return Result(answer.status, f"It answered {answer.status}.")

    def _settle(self, due: DueDelivery, result: Result) -> None:
        now = self._clock()
        endpoint = due.endpoint
        with self._engine.begin() as connection:
            if result.delivered:
                store.delivered(connection, due, result.status or 200, now)
                self._observe("delivered")
                return
            wait = next_wait(due.attempt, self._rng)
            again_at = None if wait is None else now + wait
            store.failed(
                connection, due, status=result.status, error=result.error, now=now, again_at=again_at
            )
            failing_for = now - (endpoint.failing_since or now)
            if result.status == _GONE:
                store.disable(connection, endpoint.endpoint_id, "It answered 410 Gone.", now)
            elif failing_for >= self._disable_after:
                reason = f"Nothing came through for {failing_for.days} days: {result.error}"
                store.disable(connection, endpoint.endpoint_id, reason, now)
                self._log.error("webhook_disabled", endpoint=endpoint.endpoint_id, reason=reason)
        self._observe("failed" if again_at is None else "retried")
        self._log.warning(
            "webhook_failed", endpoint=endpoint.endpoint_id, attempt=due.attempt, error=result.error
        )
