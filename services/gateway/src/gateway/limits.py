"""Requests per key: a generous limit, told in headers; when the counter itself fails, requests pass."""

from __future__ import annotations

import math
import time

import limits
from flask import Flask, Response, g
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.metrics import GatewayMetrics
from servicekit.errors import TooManyRequests


class RateLimiter:
    """Sliding-window counting per key. Raises `TooManyRequests`; fails open, and counts that it did."""

    def __init__(self, rate: str, metrics: GatewayMetrics, storage: Storage | None = None) -> None:
        self._rates = () if rate == "off" else tuple(limits.parse_many(rate))
        self._metrics = metrics
        self._window = SlidingWindowCounterRateLimiter(storage or MemoryStorage(wrap_exceptions=True))

    def check(self, key_id: str) -> None:
        for rate in self._rates:
            try:
                allowed = self._window.hit(rate, key_id)
                window = self._window.get_window_stats(rate, key_id)
            except StorageError:
                self._metrics.limiter_failures.inc()
                return
            reset_seconds = max(0, math.ceil(window.reset_time - time.time()))
            headers = _headers(rate, window.remaining, reset_seconds)
            if not allowed:
                self._metrics.rate_limited.inc()
                raise TooManyRequests(
                    f"This key may send {rate}.",
                    retry_after_seconds=max(1, reset_seconds),
                    code="rate_limited",
                    headers=headers,
                )
            g.rate_limit_headers = headers


def _headers(rate: limits.RateLimitItem, remaining: int, reset_seconds: int) -> dict[str, str]:
    """The older trio, which clients read today, and the structured fields of the HTTP draft."""
    window = rate.get_expiry()
    return {
        "RateLimit-Limit": str(rate.amount),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(reset_seconds),
        "RateLimit-Policy": f'"key";q={rate.amount};w={window}',
        "RateLimit": f'"key";r={remaining};t={reset_seconds}',
    }


def init_app(app: Flask) -> None:
    @app.after_request
    def tell(response: Response) -> Response:
        for name, value in g.get("rate_limit_headers", {}).items():
            response.headers.setdefault(name, value)
        return response
