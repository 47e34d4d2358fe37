"""Requests per key, and per placement where wanted: counted in memory, or in a Redis of all replicas."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import limits
from flask import Flask, Response, g
from limits.errors import StorageError
from limits.limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.metrics import GatewayMetrics
from servicekit import logs
from servicekit.errors import TooManyRequests

# A request waits no longer than this for the shared counter, and is then counted here alone.
_SHARED_SECONDS = 0.1
_AWAY_SECONDS = 5.0
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}  # one protocol, one client


def shared_storage(url: str) -> Storage:
    """Counters in the Redis or Valkey at `redis(s)://` or `valkey(s)://`; nothing is connected yet."""
    scheme, separator, rest = url.partition("://")
    address = _SCHEMES.get(scheme, scheme) + separator + rest
    pool = ConnectionPool.from_url(
        address,
        socket_timeout=_SHARED_SECONDS,
        socket_connect_timeout=_SHARED_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return RedisStorage(address, connection_pool=pool, wrap_exceptions=True, key_prefix="foreword")


class RateLimiter:
    """Sliding-window counting. Raises `TooManyRequests`.

    While the shared storage is away each replica counts by itself: more may pass than was meant, and nobody
    is refused for its sake. That it did is counted and logged.
    """

    def __init__(
        self,
        rate: str,
        metrics: GatewayMetrics,
        storage: Storage | None = None,
        *,
        placements: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rates = () if rate == "off" else tuple(limits.parse_many(rate))
        self._placements = {name: tuple(limits.parse_many(text)) for name, text in (placements or {}).items()}
        self._metrics = metrics
        self._shared = SlidingWindowCounterRateLimiter(storage) if storage is not None else None
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._clock = clock
        self._away_until = -math.inf
        self._log = logs.get("gateway")

    def check(self, key_id: str) -> None:
        for rate in self._rates:
            allowed, headers = self._spend(rate, key_id)
            if not allowed:
                raise self._refused(f"This key may send {rate}.", "rate_limited", headers)
            g.rate_limit_headers = headers

    def check_placement(self, placement: str) -> None:
        """The quota of one placement, over all keys; a placement without one is not counted."""
        for rate in self._placements.get(placement, ()):
            allowed, headers = self._spend(rate, "placement", placement)
            if not allowed:
                raise self._refused(f"This placement may ask {rate}.", "placement_quota", headers)

    def _spend(self, rate: RateLimitItem, *identifiers: str) -> tuple[bool, dict[str, str]]:
        if self._shared is not None and self._clock() >= self._away_until:
            try:
                return _count(self._shared, rate, identifiers)
            except StorageError as error:
                self._away_until = self._clock() + _AWAY_SECONDS
                self._metrics.limiter_failures.inc()
                self._log.warning("shared_rate_limits_away", error=type(error).__name__)
        return _count(self._own, rate, identifiers)

    def _refused(self, detail: str, code: str, headers: dict[str, str]) -> TooManyRequests:
        self._metrics.rate_limited.inc()
        wait = max(1, int(headers["RateLimit-Reset"]))
        return TooManyRequests(detail, retry_after_seconds=wait, code=code, headers=headers)


def _count(
    window: SlidingWindowCounterRateLimiter, rate: RateLimitItem, identifiers: tuple[str, ...]
) -> tuple[bool, dict[str, str]]:
    allowed = window.hit(rate, *identifiers)
    stats = window.get_window_stats(rate, *identifiers)
    return allowed, _headers(rate, stats.remaining, max(0, math.ceil(stats.reset_time - time.time())))


def _headers(rate: RateLimitItem, remaining: int, reset_seconds: int) -> dict[str, str]:
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
