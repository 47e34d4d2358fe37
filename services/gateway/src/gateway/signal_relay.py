"""Signals on their way to the recommender, with what only the edge knows: when, from whom, by what key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import orjson

from gateway.metrics import GatewayMetrics
from gateway.upstream import Recommender
from servicekit.errors import UpstreamUnavailable
from servicekit.http import UpstreamResponse

_OUTCOMES = (("accepted", "accepted"), ("duplicates", "duplicate"), ("dead_letters", "dead_letter"))


@dataclass(frozen=True, slots=True)
class TrackedSignal:
    """One tracking request: the bytes as the client sent them, and what came with them."""

    kind: str
    body: bytes
    received_at: datetime
    source: Literal["publishable", "secret"]
    agent: str = ""
    privacy_control: str | None = None
    proven_users: tuple[str, ...] = ()


class SignalRelay:
    """Posts signals to the recommender and counts what became of them."""

    def __init__(self, recommender: Recommender, metrics: GatewayMetrics) -> None:
        self._recommender = recommender
        self._metrics = metrics

    def send(self, signal: TrackedSignal, *, timeout_seconds: float) -> UpstreamResponse:
        """Raises `UpstreamUnavailable`; any other answer is the caller's to relay."""
        headers = {
            "Content-Type": "application/json",
            "X-Received-At": signal.received_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "X-Signal-Source": signal.source,
            # A header is latin-1 without line ends; a stranger's agent may be anything.
            "X-Buyer-Agent": signal.agent.encode("ascii", "replace").decode()[:500],
        }
        if signal.proven_users:  # JSON in ASCII, as a header must be
            headers["X-Proven-Users"] = json.dumps(signal.proven_users)
        if signal.privacy_control is not None:
            headers["Sec-GPC"] = signal.privacy_control[:5]
        try:
            answer = self._post(signal, headers, timeout_seconds)
        except UpstreamUnavailable:
            self._metrics.signals.labels(signal.kind, "unavailable").inc()
            raise
        self._count(signal.kind, answer)
        return answer

    def _post(
        self, signal: TrackedSignal, headers: Mapping[str, str], timeout_seconds: float
    ) -> UpstreamResponse:
        answer = self._recommender.call(
            "signals",
            "POST",
            f"/v1/signals?kind={signal.kind}",
            body=signal.body,
            headers=headers,
            timeout_seconds=timeout_seconds,
        )
        if answer.status in (202, 204, 304, 410):
            # Clients take these for a final word; only a plain 200 means that the signals are durable.
            raise UpstreamUnavailable("The recommender did not say that the signals are stored.")
        return answer

    def _count(self, kind: str, answer: UpstreamResponse) -> None:
        if answer.status >= 500 or answer.status == 429:
            self._metrics.signals.labels(kind, "unavailable").inc()
        elif answer.status >= 400:
            self._metrics.signals.labels(kind, "refused").inc()
        else:
            try:
                found = answer.json()
            except orjson.JSONDecodeError as error:
                raise UpstreamUnavailable("The recommender gave an answer that makes no sense.") from error
            for field, outcome in _OUTCOMES:
                self._metrics.signals.labels(kind, outcome).inc(found.get(field, 0))
