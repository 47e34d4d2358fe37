"""Clicks on their way to the recommender: at once if it answers, else kept in memory and tried again."""

from __future__ import annotations

import threading
from collections import deque

from gateway.metrics import GatewayMetrics
from gateway.signal_relay import SignalRelay, TrackedSignal
from servicekit import logs
from servicekit.background import BackgroundLoop
from servicekit.errors import UpstreamUnavailable

_RETRY_SECONDS = 2.0


class ClickQueue:
    """A buyer is never kept waiting or lost for the sake of a click: what cannot be kept is counted."""

    def __init__(
        self, relay: SignalRelay, *, size: int, timeout_seconds: float, metrics: GatewayMetrics
    ) -> None:
        self._relay = relay
        self._timeout = timeout_seconds
        self._metrics = metrics
        self._lock = threading.Lock()
        self._waiting: deque[TrackedSignal] = deque()
        self._size = size
        self._log = logs.get("gateway")
        self._loop = BackgroundLoop(
            "clicks",
            self.drain,
            interval_seconds=_RETRY_SECONDS,
            failures=metrics.loop_failures,
            service="gateway",
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """One last try; what still waits is counted and logged as lost."""
        self._loop.stop()
        self.drain()
        if self._waiting:
            self._metrics.clicks.labels("dropped").inc(len(self._waiting))
            self._log.error("clicks_lost", count=len(self._waiting))

    def record(self, signal: TrackedSignal) -> None:
        if not self._waiting and self._stored(signal, "recorded"):
            return
        with self._lock:
            if len(self._waiting) >= self._size:
                self._metrics.clicks.labels("dropped").inc()
                return
            self._waiting.append(signal)
            self._metrics.clicks.labels("queued").inc()
            self._metrics.clicks_waiting.set(len(self._waiting))

    def drain(self) -> None:
        while self._waiting:
            if not self._stored(self._waiting[0], "recorded_late"):
                return
            with self._lock:
                self._waiting.popleft()
                self._metrics.clicks_waiting.set(len(self._waiting))

    def _stored(self, signal: TrackedSignal, outcome: str) -> bool:
        try:
            answer = self._relay.send(signal, timeout_seconds=self._timeout)
        except UpstreamUnavailable:
            return False
        if answer.status == 429 or answer.status >= 500:
            return False
        self._metrics.clicks.labels(outcome if answer.status == 200 else "refused").inc()
        return True
