"""The recommender as the gateway sees it: each call has an operation's name, a deadline and a measure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import quote

from gateway.metrics import GatewayMetrics
from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient, UpstreamResponse


def segment(value: str) -> str:
    """An id as one path segment, every reserved byte encoded, so that it arrives as it was meant."""
    return quote(value, safe="")


class Recommender:
    """Calls the internal API. Raises `UpstreamUnavailable` when it is away, slow or answers nonsense."""

    def __init__(self, client: ServiceClient, base_url: str, metrics: GatewayMetrics) -> None:
        self.client = client
        self.base_url = base_url.rstrip("/")
        self._metrics = metrics

    @property
    def is_away(self) -> bool:
        return self.client.breaker.is_open

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        timeout_seconds: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamResponse:
        started = time.perf_counter()
        outcome = "away"
        try:
            answer = self.client.request(
                method, path, body=body, headers=headers, timeout_seconds=timeout_seconds
            )
            outcome = f"{answer.status // 100}xx"
        finally:
            self.observe(operation, outcome, time.perf_counter() - started)
        # Nothing behind the gateway redirects; if something does, it must not reach a client's POST.
        if answer.status < 200 or (300 <= answer.status < 400 and answer.status != 304):
            raise UpstreamUnavailable("The recommender gave an answer that makes no sense.")
        return answer

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        self._metrics.upstream_seconds.labels(operation, outcome).observe(seconds)
