"""The gateway's own metrics, beside the RED metrics that every service has. Labels are bounded."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from servicekit.metrics import Metrics

_MAX_PLACEMENTS = 50


class BoundedLabel:
    """The first values seen keep their names; all later ones are counted together as `other`."""

    def __init__(self, limit: int = _MAX_PLACEMENTS) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        with self._lock:
            if len(self._known) >= self._limit:
                return "other"
            self._known.add(value)
            return value


@dataclass(frozen=True, slots=True)
class GatewayMetrics:
    """Counters and gauges by what they count; see each help text."""

    recommendations: Counter
    empty_recommendations: Counter
    fallback_answers: Counter
    signals: Counter
    auth_failures: Counter
    rate_limited: Counter
    limiter_failures: Counter
    clicks: Counter
    clicks_waiting: Gauge
    upstream_seconds: Histogram
    keys_loaded: Gauge
    keys_refreshed: Gauge
    key_refresh_failures: Counter
    loop_failures: Counter
    placement_label: BoundedLabel

    @classmethod
    def create(cls, metrics: Metrics) -> GatewayMetrics:
        return cls(
            recommendations=metrics.counter(
                "recommendations_total",
                "Recommendation answers, by placement, channel, tier and whether they were degraded.",
                ["placement", "channel", "tier", "degraded"],
            ),
            empty_recommendations=metrics.counter(
                "recommendations_empty_total", "Recommendation answers without an asset.", ["placement"]
            ),
            fallback_answers=metrics.counter(
                "fallback_answers_total",
                "Answers made without the recommender, by where they came from.",
                ["source"],
            ),
            signals=metrics.counter("signals_total", "Signals, by kind and outcome.", ["kind", "outcome"]),
            auth_failures=metrics.counter(
                "auth_failures_total", "Requests refused for their key, by reason.", ["reason"]
            ),
            rate_limited=metrics.counter(
                "rate_limited_total", "Requests refused because their key was over its limit."
            ),
            limiter_failures=metrics.counter(
                "rate_limiter_failures_total", "Requests let through because the limiter did not answer."
            ),
            clicks=metrics.counter("clicks_total", "Click links followed, by outcome.", ["outcome"]),
            clicks_waiting=metrics.gauge("clicks_waiting_count", "Clicks in memory, to be recorded."),
            upstream_seconds=metrics.histogram(
                "upstream_request_duration_seconds",
                "Time the recommender took, by operation and outcome.",
                ["operation", "outcome"],
            ),
            keys_loaded=metrics.gauge("api_keys_loaded_count", "Keys in memory that are not revoked."),
            keys_refreshed=metrics.gauge(
                "api_keys_refreshed_timestamp_seconds", "When the keys were last read, in Unix time."
            ),
            key_refresh_failures=metrics.counter(
                "api_key_refresh_failures_total",
                "Times that the keys could not be read or their use written.",
            ),
            loop_failures=metrics.counter(
                "loop_failures_total", "Steps of background loops that failed, by loop.", ["loop"]
            ),
            placement_label=BoundedLabel(),
        )
