"""The gateway's own metrics, beside the RED metrics that every service has. Labels are bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from contract.recommendations import Channel, RecommendationRequest, Tier
from servicekit.metrics import BOTH, MARKETING, BoundedLabel, Label, Metrics

__all__ = ["BoundedLabel", "GatewayMetrics"]

CHANNELS: tuple[str, ...] = get_args(Channel)
TIERS: tuple[str, ...] = (*get_args(Tier), "other")
_CALLS = ("track", "page", "screen", "identify", "group", "alias", "batch", "import")
_OUTCOMES = ("accepted", "duplicate", "dead_letter", "refused", "unavailable")
_REASONS = ("missing", "unknown", "revoked", "scope", "publishable", "origin")
_CLICKS = ("recorded", "recorded_late", "queued", "refused", "dropped", "prefetch", "machine")
LOOPS = ("keys", "clicks", "fallback", "audit")
_PLACEMENT = Label("placement", bound="the first 50 seen, then `other`")


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
    email_opens: Counter
    upstream_seconds: Histogram
    upstream_up: Gauge
    keys_loaded: Gauge
    keys_refreshed: Gauge
    key_refresh_failures: Counter
    loop_failures: Counter
    database_connections: Gauge
    database_connections_limit: Gauge
    placement_label: BoundedLabel

    @classmethod
    def create(cls, metrics: Metrics) -> GatewayMetrics:
        recommendations = metrics.counter(
            "recommendations_total",
            "Recommendation answers, by placement, channel, tier and whether they were degraded.",
            [
                _PLACEMENT,
                Label("channel", bound=", ".join(CHANNELS)),
                Label("tier", bound=", ".join(TIERS)),
                Label("degraded", bound="true, false"),
            ],
            needed_by=BOTH,
        )
        empty = metrics.counter(
            "recommendations_empty_total",
            "Recommendation answers without an asset.",
            [_PLACEMENT],
            needed_by=BOTH,
        )
        # The placement of a caller that names none; others stand from their first answer on.
        usual = str(RecommendationRequest.model_fields["placement"].default)
        for tier in TIERS:
            for degraded in ("true", "false"):
                recommendations.labels(usual, "web", tier, degraded)
        empty.labels(usual)
        return cls(
            recommendations=recommendations,
            empty_recommendations=empty,
            fallback_answers=metrics.counter(
                "fallback_answers_total",
                "Answers made without the recommender, by where they came from.",
                [Label("source", ("last_known_good", "static", "empty"))],
            ),
            signals=metrics.counter(
                "signals_total",
                "Signals, by call and outcome; refused and unavailable count requests.",
                [Label("kind", _CALLS), Label("outcome", _OUTCOMES)],
                needed_by=BOTH,
            ),
            auth_failures=metrics.counter(
                "auth_failures_total",
                "Requests refused for their key, by reason.",
                [Label("reason", _REASONS)],
            ),
            rate_limited=metrics.counter(
                "rate_limited_total", "Requests refused because their key was over its limit."
            ),
            limiter_failures=metrics.counter(
                "rate_limiter_failures_total", "Requests let through because the limiter did not answer."
            ),
            clicks=metrics.counter(
                "clicks_total",
                "Click links followed, by outcome.",
                [Label("outcome", _CLICKS)],
                needed_by=MARKETING,
            ),
            clicks_waiting=metrics.gauge("click_queue_clicks", "Clicks in memory, to be recorded."),
            email_opens=metrics.counter(
                "email_opens_total",
                "Mails opened, by whether a reader or a machine (scanner, privacy proxy) did it.",
                [Label("outcome", ("counted", "machine"))],
                needed_by=MARKETING,
            ),
            upstream_seconds=metrics.histogram(
                "upstream_request_duration_seconds",
                "Time the recommender took, by operation and outcome.",
                [
                    Label("operation", bound="named in the code"),
                    Label("outcome", bound="2xx, 3xx, 4xx, 5xx, away"),
                ],
            ),
            upstream_up=metrics.gauge(
                "upstream_up",
                "1 while calls to it come through, 0 while its circuit breaker is open.",
                [Label("upstream", ("recommender",))],
            ),
            keys_loaded=metrics.gauge("api_keys_active", "Keys in memory that are not revoked."),
            keys_refreshed=metrics.gauge(
                "api_keys_refreshed_timestamp_seconds", "When the keys were last read, in Unix time."
            ),
            key_refresh_failures=metrics.counter(
                "api_key_refresh_failures_total",
                "Times that the keys could not be read or their use written.",
            ),
            loop_failures=metrics.counter(
                "loop_failures_total",
                "Steps of background loops that failed, by loop.",
                [Label("loop", LOOPS)],
            ),
            database_connections=metrics.gauge(
                "database_connections_in_use", "Database connections that a request or loop holds."
            ),
            database_connections_limit=metrics.gauge(
                "database_connections_limit", "Database connections that the pool opens at most."
            ),
            placement_label=BoundedLabel(),
        )
