"""Alerts on causes that an objective shows late or not at all."""

from __future__ import annotations

from typing import Any

from monitoring import cluster_alerts
from monitoring.rules import rule

# Without the embedder recommendations go on; only new assets wait.
_SERVICES = {"gateway": "page", "recommender": "page", "embedder": "ticket"}
# A scrape that fails, as it may while a part is away, must not look like the part's return.
_KEPT = "2m"


def groups() -> list[dict[str, Any]]:
    return [
        {
            "name": "foreword-parts-away",
            "rules": [
                _recommender_away(),
                _database_away(),
                _embedder_away(),
                # After them: they read what these have just found.
                _part_was_away("serving", "Recommender|Database"),
                _part_was_away("embedder", "Embedder"),
            ],
        },
        {
            "name": "foreword-index",
            "rules": [
                _index_empty(),
                _index_stale(),
                _revision_skew(),
                _recall_low(),
                _asset_stuck(),
                _backlog_growing(),
            ],
        },
        {
            "name": "foreword-causes",
            "rules": [
                *(_loop_failing(service) for service in _SERVICES),
                *(_metrics_absent(service, severity) for service, severity in _SERVICES.items()),
                *(_threads_saturated(service) for service in _SERVICES),
                *(_database_pool_saturated(service) for service in ("gateway", "recommender")),
                _auth_failures(),
                _dead_letters(),
                _webhooks_stopped(),
                _click_rate_low(),
                _watchdog(),
            ],
        },
        {"name": "foreword-cluster", "rules": cluster_alerts.rules()},
    ]


def _recommender_away() -> dict[str, Any]:
    return rule(
        "ForewordRecommenderAway",
        # While nobody asks, nobody finds out that it is back.
        'min by (namespace) (foreword_gateway_upstream_up{upstream="recommender"}) == 0 and on (namespace) '
        "(sum by (namespace) "
        '(rate(foreword_gateway_upstream_request_duration_seconds_count{outcome="away"}[5m])) > 0)',
        "1m",
        "page",
        "The gateway does not reach the recommender",
        "For a minute a gateway has had no answer from the recommender. Buyers are shown the last good "
        "answers or the static list, and signals are refused with 503 until it is back.",
        keep=_KEPT,
    )


def _database_away() -> dict[str, Any]:
    return rule(
        "ForewordDatabaseAway",
        "max by (namespace) (foreword_recommender_database_up) == 0",
        "1m",
        "page",
        "No recommender reaches the database",
        "For a minute the database has not answered. Recommendations are made from memory for nobody in "
        "particular, and signals and assets are refused until it is back.",
        keep=_KEPT,
    )


def _embedder_away() -> dict[str, Any]:
    return rule(
        "ForewordEmbedderAway",
        'max by (namespace) (foreword_recommender_upstream_up{upstream="embedder"}) == 0',
        "2m",
        "ticket",
        "No recommender reaches the embedder",
        "For two minutes the embedder has not answered. Recommendations go on; new assets wait for their "
        "vector, and text queries are answered without it.",
        keep=_KEPT,
    )


def _part_was_away(part: str, names: str) -> dict[str, Any]:
    # The longest short window of a page is 30 minutes: until then the outage itself makes objectives burn.
    fired = f'ALERTS{{alertname=~"Foreword({names})Away",alertstate="firing"}}'
    return rule(
        "ForewordPartWasAway",
        f"max by (namespace) (max_over_time({fired}[35m])) > 0",
        None,
        "none",
        "A part was away within the last 35 minutes",
        "It tells nobody anything. While it fires, pages for what an outage did to the objectives are "
        "inhibited: that outage has had its own alert.",
        part=part,
    )


def _index_empty() -> dict[str, Any]:
    # A firm that has loaded nothing yet asks for nothing either, and need not be woken.
    return rule(
        "ForewordIndexEmpty",
        "foreword_recommender_index_assets == 0 and on (namespace) "
        "(sum by (namespace) (rate(foreword_gateway_recommendations_total[10m])) > 0)",
        "5m",
        "page",
        "A recommender has no asset to serve",
        "{{ $labels.pod }} answers requests from an index with nothing in it, so that buyers get static "
        "content or none.",
    )


def _index_stale() -> dict[str, Any]:
    return rule(
        "ForewordIndexStale",
        "foreword_recommender_index_unconfirmed_seconds > 60",
        "3m",
        "ticket",
        "A recommender does not follow the catalogue",
        "{{ $labels.pod }} has not known for {{ $value | humanizeDuration }} whether its index is as "
        "new as the database. What the content team changed meanwhile may be missing there.",
    )


def _revision_skew() -> dict[str, Any]:
    revision = "foreword_recommender_index_revision_number"
    return rule(
        "ForewordRevisionSkew",
        # One that serves now what another served a minute ago is only a moment behind.
        f"max by (namespace) ({revision} offset 1m) - min by (namespace) ({revision}) > 0",
        "3m",
        "ticket",
        "Recommenders serve different revisions of the catalogue",
        "One recommender is {{ $value }} revisions behind where another was a minute ago, for three minutes.",
    )


def _recall_low() -> dict[str, Any]:
    return rule(
        "ForewordRecallLow",
        "foreword_recommender_index_recall_ratio < 0.9",
        "10m",
        "ticket",
        "The index misses near neighbours",
        "The canary finds {{ $value | humanizePercentage }} of the exact ten nearest on "
        "{{ $labels.pod }}: candidates that fit are passed over.",
    )


def _asset_stuck() -> dict[str, Any]:
    return rule(
        "ForewordAssetStuck",
        "max by (namespace) (foreword_recommender_embedding_oldest_pending_seconds) > 300",
        "5m",
        "ticket",
        "An asset waits for its embedding",
        "The oldest asset without an embedding has waited {{ $value | humanizeDuration }}. It cannot be "
        "found by what it is about until it has one.",
    )


def _backlog_growing() -> dict[str, Any]:
    backlog = "foreword_recommender_embedding_backlog_assets"
    return rule(
        "ForewordEmbedBacklogGrowing",
        f"max by (namespace) ({backlog}) > 100 and max by (namespace) (delta({backlog}[15m])) > 0",
        "15m",
        "ticket",
        "More assets come than are embedded",
        "{{ $value }} assets wait for an embedding, and for half an hour they have become more.",
    )


def _loop_failing(service: str) -> dict[str, Any]:
    return rule(
        "ForewordLoopFailing",
        f"sum by (namespace, loop) (increase(foreword_{service}_loop_failures_total[10m])) > 5",
        "10m",
        "ticket",
        f"A background loop of the {service} fails again and again",
        f"The {service}'s loop {{{{ $labels.loop }}}} has failed {{{{ $value | humanize }}}} times in ten "
        "minutes; its work is not done.",
        service=service,
    )


def _metrics_absent(service: str, severity: str) -> dict[str, Any]:
    return rule(
        "ForewordMetricsAbsent",
        f"absent(foreword_{service}_build_info)",
        "5m",
        severity,
        f"Nothing is heard from the {service}",
        f"No {service} has given metrics for five minutes: it is down, or Prometheus does not reach it. "
        "Every other alert about it is blind until then.",
        service=service,
    )


def _threads_saturated(service: str) -> dict[str, Any]:
    prefix = f"foreword_{service}_http"
    return rule(
        "ForewordPoolSaturated",
        f"avg_over_time({prefix}_requests_in_flight[5m]) / {prefix}_threads > 0.9 "
        f"or min_over_time({prefix}_queued_connections[5m]) > 0 "
        # While answers are slow, fewer than its threads are taken on.
        f'or sum without (reason) (rate({prefix}_refused_total{{reason=~"full|waited|share"}}[5m])) > 0.1',
        "5m",
        "ticket",
        f"The {service} has as much under way as it can do",
        f"On {{{{ $labels.pod }}}} nearly every thread of the {service} is busy, or requests wait for one or "
        "are refused for want of room.",
        service=service,
        pool="threads",
    )


def _database_pool_saturated(service: str) -> dict[str, Any]:
    prefix = f"foreword_{service}_database_connections"
    return rule(
        "ForewordPoolSaturated",
        f"avg_over_time({prefix}_in_use[5m]) / {prefix}_limit > 0.9",
        "5m",
        "ticket",
        f"The {service}'s database connections are all taken",
        "On {{ $labels.pod }} {{ $value | humanizePercentage }} of the connections are in use; requests "
        "wait for one, and fail after five seconds.",
        service=service,
        pool="database",
    )


def _auth_failures() -> dict[str, Any]:
    failures = "sum by (namespace) (increase(foreword_gateway_auth_failures_total"
    return rule(
        "ForewordAuthFailureSpike",
        # A key that was rotated at one place shows so, and so does somebody who tries keys.
        f"{failures}[10m])) > 100 and {failures}[10m])) > 5 * {failures}[10m] offset 1h))",
        "5m",
        "ticket",
        "Many requests come without a valid key",
        "{{ $value | humanize }} requests were refused for their key in ten minutes, over five times as many "
        "as an hour before.",
    )


def _dead_letters() -> dict[str, Any]:
    letters = "sum by (namespace) (increase(foreword_recommender_dead_letters_total[15m]))"
    read = "sum by (namespace) (increase(foreword_recommender_signals_total[15m]))"
    return rule(
        "ForewordDeadLetterSpike",
        f"{letters} > 20 and {letters} / ({letters} + {read}) > 0.05",
        "5m",
        "ticket",
        "Signals make no sense",
        "{{ $value | humanize }} signals in fifteen minutes, more than one in twenty, could not be read and "
        "were set aside. A client or its release is probably at fault.",
    )


def _webhooks_stopped() -> dict[str, Any]:
    return rule(
        "ForewordWebhooksStopped",
        "max by (namespace) (foreword_recommender_webhook_endpoints_disabled) > 0",
        "10m",
        "ticket",
        "A webhook endpoint is disabled",
        "{{ $value }} endpoints failed for days and are told nothing any more. What they were not told is "
        "kept for a while and can be sent again.",
    )


def _click_rate_low() -> dict[str, Any]:
    clicks = "sum by (namespace) (increase(foreword_recommender_clicks_total[1d]{offset}))"
    shown = "sum by (namespace) (increase(foreword_recommender_impressions_total[1d]{offset}))"

    def during(query: str, offset: str) -> str:
        return query.replace("{offset}", offset)

    now, before = "", " offset 1w"
    return rule(
        "ForewordClickRateLow",
        f"{during(clicks, now)} / {during(shown, now)} < 0.5 * {during(clicks, before)} / "
        f"{during(shown, before)} and {during(shown, now)} > 1000 and {during(shown, before)} > 1000",
        "1h",
        "ticket",
        "Far fewer recommendations are followed than a week ago",
        "{{ $value | humanizePercentage }} of the recommendations seen in a day were followed, less than "
        "half of the same day last week.",
    )


def _watchdog() -> dict[str, Any]:
    return rule(
        "ForewordWatchdog",
        "vector(1)",
        None,
        "none",
        "Alerting works",
        "It always fires. Send it to something that calls out when it stops coming.",
    )
