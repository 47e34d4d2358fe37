"""What comes in: signals, assets and clicks, and what goes out by webhook."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.objectives import Objective
from monitoring.panels import Panel, Query, board, graph
from monitoring.queries import quantile, rate, series


def ingest(objectives: tuple[Objective, ...]) -> dashboard.Dashboard:
    (signals,) = (one for one in objectives if one.name == "signals_acknowledged")
    routes = signals.total.partition("{")[2].partition("}")[0]
    return board(
        "Foreword: Ingest",
        "foreword-ingest",
        "Signals, assets and clicks on their way in, webhooks on their way out.",
        [("Signals", _signals(routes)), ("Assets", _assets()), ("Clicks and webhooks", _delivery())],
        since="now-3h",
    )


def _signals(routes: str) -> list[Panel]:
    return [
        graph(
            "Signals by outcome",
            "What became of them, a second; `refused` and `unavailable` count requests.",
            "cps",
            Query(rate("gateway_signals_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "Signals by call",
            "Signals a second that were taken in, by the call of the tracking API.",
            "cps",
            Query(rate("gateway_signals_total", "kind", 'outcome="accepted"'), "{{kind}}"),
            stacked=True,
        ),
        graph(
            "Signals by type",
            "What buyers did, a second, as the signals were read; types without any are left out.",
            "cps",
            Query(f"{rate('recommender_signals_total', 'kind')} > 0", "{{kind}}"),
            stacked=True,
        ),
        graph(
            "Time to acknowledge",
            "Time until a tracking request is stored and answered.",
            "s",
            Query(quantile(0.5, "gateway_http_request_duration_seconds", "", routes), "half"),
            Query(quantile(0.99, "gateway_http_request_duration_seconds", "", routes), "99%"),
            traced=True,
        ),
        graph(
            "Dead letters",
            "Signals a second that made no sense and were set aside, by reason.",
            "cps",
            Query(rate("recommender_dead_letters_total", "code"), "{{code}}"),
        ),
        graph(
            "Profiles folded",
            "Profiles a second that were brought up to their signals.",
            "cps",
            Query(rate("recommender_profile_folds_total"), "folded"),
        ),
    ]


def _assets() -> list[Panel]:
    return [
        graph(
            "Assets written",
            "Assets a second, by what became of them.",
            "cps",
            Query(rate("recommender_asset_writes_total", "result"), "{{result}}"),
            stacked=True,
        ),
        graph(
            "From write to recommendable",
            "Time until an asset can be recommended; the objective is 10 s.",
            "s",
            Query(quantile(0.5, "recommender_asset_servable_seconds", window="[10m]"), "half"),
            Query(quantile(0.99, "recommender_asset_servable_seconds", window="[10m]"), "99%"),
        ),
        graph(
            "Assets without an embedding",
            "How many wait for the embedder.",
            "short",
            Query(f"max({series('recommender_embedding_backlog_assets')})", "assets"),
        ),
        graph(
            "Age of the oldest of them",
            "How long the asset that waits longest has waited.",
            "s",
            Query(f"max({series('recommender_embedding_oldest_pending_seconds')})", "oldest"),
        ),
        graph(
            "Embeddings that failed",
            "Requests to the embedder a second that did not come through, by reason.",
            "cps",
            Query(rate("recommender_embed_failures_total", "reason"), "{{reason}}"),
        ),
        graph(
            "Time in the recommender",
            "95% of the gateway's writing calls are faster than this, by operation.",
            "s",
            Query(
                quantile(0.95, "gateway_upstream_request_duration_seconds", "operation", window="[10m]"),
                "{{operation}}",
            ),
        ),
    ]


def _delivery() -> list[Panel]:
    return [
        graph(
            "Click links",
            "Links followed a second, by what became of the click.",
            "cps",
            Query(rate("gateway_clicks_total", "outcome"), "{{outcome}}"),
        ),
        graph(
            "Clicks waiting",
            "Clicks in memory because the recommender was away.",
            "short",
            Query(f"sum({series('gateway_click_queue_clicks')})", "clicks"),
        ),
        graph(
            "Webhooks waiting",
            "Deliveries that have not gone through yet.",
            "short",
            Query(f"max({series('recommender_webhook_pending_deliveries')})", "deliveries"),
            width=4,
        ),
        graph(
            "Oldest webhook",
            "How long the oldest of them has waited.",
            "s",
            Query(f"max({series('recommender_webhook_oldest_pending_seconds')})", "oldest"),
            width=4,
        ),
    ]
