"""A circuit breaker: after failures in a row an upstream is left alone for a while, then tried once."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CircuitBreaker:
    """Closed → (failures ≥ threshold) → open for `cooldown_seconds` → one trial → closed or open again.

    `clock` gives monotonic seconds; it is an argument so that tests move time themselves.
    """

    def __init__(self, *, threshold: int, cooldown_seconds: float, clock: Callable[[], float]) -> None:
        self._threshold = threshold
        self._cooldown = cooldown_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._trial = False

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def allows(self) -> bool:
        """Whether a call may be made now; when half open, only one caller gets a yes."""
        with self._lock:
            if self._opened_at is None:
                return True
            if self._trial or self._clock() - self._opened_at < self._cooldown:
                return False
            self._trial = True
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._opened_at, self._trial = 0, None, False

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._trial or self._failures >= self._threshold:
                self._opened_at, self._trial = self._clock(), False
