"""The dashboard of those who run Foreword: objectives first, then each service from the edge inwards."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.burn_rates import BUDGET, ERRORS
from monitoring.panels import NS, RATE, Query, board, figure, graph

_JOBS = 'job=~"gateway|recommender|embedder"'


def overview() -> dashboard.Dashboard:
    made = board(
        "Foreword: Overview",
        "foreword-overview",
        "Are the promises kept, and where does it hurt if not?",
        since="now-6h",
    )
    _objectives(made)
    _gateway(made)
    _recommender(made)
    _embedder(made)
    _processes(made)
    return made


def _objectives(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Objectives (30 days)"))
    made.with_panel(
        graph(
            "Error budget left",
            "What is left of the failures that 30 days allow; at 0 the promise is broken.",
            "percentunit",
            [Query(f"{BUDGET}{{{NS}}}", "{{slo}}")],
            width=12,
            highest=1,
        )
    )
    made.with_panel(
        graph(
            "Failing now",
            "Share of events in the last five minutes that break an objective.",
            "percentunit",
            [Query(f"{ERRORS}5m{{{NS}}}", "{{slo}}")],
            width=12,
        )
    )


def _gateway(made: dashboard.Dashboard) -> None:
    requests = f"foreword_gateway_http_requests_total{{{NS}}}{RATE}"
    made.with_row(dashboard.Row("Gateway"))
    made.with_panel(
        graph(
            "Requests by route",
            "Requests a second at the public edge, by route template.",
            "reqps",
            [Query(f"sum by (route) (rate({requests}))", "{{route}}")],
            stacked=True,
        )
    )
    made.with_panel(
        graph(
            "Requests by status",
            "2xx are answers, 4xx the callers' mistakes, 5xx ours.",
            "reqps",
            [Query(f"sum by (status) (rate({requests}))", "{{status}}")],
            stacked=True,
        )
    )
    made.with_panel(
        graph(
            "Recommendation latency",
            "Time from reading a request for one recommendation to its answer.",
            "s",
            [
                Query(
                    f"histogram_quantile({quantile}, sum by (le) (rate("
                    "foreword_gateway_http_request_duration_seconds_bucket"
                    f'{{{NS},route="/v1/recommendations"}}{RATE})))',
                    name,
                )
                for quantile, name in ((0.5, "half"), (0.95, "95%"), (0.99, "99%"))
            ],
        )
    )
    made.with_panel(
        graph(
            "Answers by tier",
            "How recommendations were made; `popular` and `static` know nothing of the buyer.",
            "reqps",
            [
                Query(
                    f"sum by (tier, degraded) (rate(foreword_gateway_recommendations_total{{{NS}}}{RATE}))",
                    "{{tier}} degraded={{degraded}}",
                )
            ],
            stacked=True,
        )
    )
    made.with_panel(
        graph(
            "Time in the recommender",
            "95% of the gateway's calls inwards are faster than this, by operation.",
            "s",
            [
                Query(
                    "histogram_quantile(0.95, sum by (le, operation) (rate("
                    f"foreword_gateway_upstream_request_duration_seconds_bucket{{{NS}}}{RATE})))",
                    "{{operation}}",
                )
            ],
        )
    )
    made.with_panel(
        graph(
            "Refused",
            "Requests refused for their key or over their limit, and clicks that wait in memory.",
            "short",
            [
                Query(
                    f"sum by (reason) (rate(foreword_gateway_auth_failures_total{{{NS}}}{RATE}))",
                    "key: {{reason}}",
                ),
                Query(f"sum(rate(foreword_gateway_rate_limited_total{{{NS}}}{RATE}))", "over the limit"),
                Query(f"sum(foreword_gateway_click_queue_clicks{{{NS}}})", "clicks waiting"),
            ],
        )
    )


def _recommender(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Recommender"))
    made.with_panel(
        graph(
            "Assets in each index",
            "Living assets that each replica can serve; replicas should agree.",
            "short",
            [Query(f"foreword_recommender_index_assets{{{NS}}}", "{{instance}}")],
        )
    )
    made.with_panel(
        graph(
            "Catalogue revision behind the newest",
            "Revisions that a replica lags behind the one that is furthest.",
            "short",
            [
                Query(
                    f"scalar(max(foreword_recommender_index_revision_number{{{NS}}})) "
                    f"- foreword_recommender_index_revision_number{{{NS}}}",
                    "{{instance}}",
                )
            ],
        )
    )
    made.with_panel(
        graph(
            "Assets without an embedding",
            "How many wait, and how long the oldest has waited (seconds).",
            "short",
            [
                Query(f"max(foreword_recommender_embedding_backlog_assets{{{NS}}})", "waiting"),
                Query(f"max(foreword_recommender_embedding_oldest_pending_seconds{{{NS}}})", "oldest, s"),
            ],
        )
    )
    made.with_panel(
        graph(
            "Signals",
            "Events read a second by kind, and those that made no sense.",
            "cps",
            [
                Query(f"sum by (kind) (rate(foreword_recommender_signals_total{{{NS}}}{RATE}))", "{{kind}}"),
                Query(
                    f"sum by (code) (rate(foreword_recommender_dead_letters_total{{{NS}}}{RATE}))",
                    "dead letter: {{code}}",
                ),
            ],
        )
    )
    made.with_panel(
        graph(
            "Profiles folded, answers without the database",
            "Profiles brought up to date a second; reads that had to do without the database.",
            "cps",
            [
                Query(f"sum(rate(foreword_recommender_profile_folds_total{{{NS}}}{RATE}))", "folded"),
                Query(
                    f"sum(rate(foreword_recommender_buyer_read_failures_total{{{NS}}}{RATE}))",
                    "read failed",
                ),
            ],
        )
    )
    made.with_panel(
        graph(
            "Background loops that failed",
            "Failed steps in five minutes, by service and loop; each is tried again.",
            "short",
            [
                Query(
                    f"sum by (loop) (increase(foreword_{service}_loop_failures_total{{{NS}}}[5m]))",
                    f"{service}: {{{{loop}}}}",
                )
                for service in ("gateway", "recommender", "embedder")
            ],
        )
    )


def _embedder(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Embedder"))
    made.with_panel(
        graph(
            "Texts",
            "Texts a second that got a vector, and requests refused for want of room.",
            "cps",
            [
                Query(f"sum(rate(foreword_embedder_texts_total{{{NS}}}{RATE}))", "embedded"),
                Query(
                    f"sum by (reason) (rate(foreword_embedder_refusals_total{{{NS}}}{RATE}))",
                    "refused: {{reason}}",
                ),
            ],
        )
    )
    made.with_panel(
        graph(
            "Waiting texts",
            "Texts that wait for a forward pass.",
            "short",
            [Query(f"sum by (instance) (foreword_embedder_queue_depth_texts{{{NS}}})", "{{instance}}")],
        )
    )
    made.with_panel(
        graph(
            "Time by stage",
            "95% of the passes are faster than this: waiting, tokenising, inference.",
            "s",
            [
                Query(
                    "histogram_quantile(0.95, sum by (le, stage) (rate("
                    f"foreword_embedder_stage_duration_seconds_bucket{{{NS}}}{RATE})))",
                    "{{stage}}",
                )
            ],
        )
    )


def _processes(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Processes"))
    made.with_panel(
        graph(
            "CPU",
            "Cores used by each process.",
            "short",
            [Query(f"rate(process_cpu_seconds_total{{{NS},{_JOBS}}}{RATE})", "{{job}} {{instance}}")],
        )
    )
    made.with_panel(
        graph(
            "Memory",
            "Resident memory of each process; at its limit it is killed.",
            "bytes",
            [Query(f"process_resident_memory_bytes{{{NS},{_JOBS}}}", "{{job}} {{instance}}")],
        )
    )
    made.with_panel(
        graph(
            "Requests in flight",
            "Requests that are served now; near the thread count, new ones wait.",
            "short",
            [
                Query(f"sum by (instance) (foreword_{service}_http_requests_in_flight{{{NS}}})", service)
                for service in ("gateway", "recommender", "embedder")
            ],
        )
    )
    made.with_panel(
        figure(
            "Keys last read",
            "Age of the gateway's copy of the keys; it grows while the database is away.",
            "s",
            Query(f"time() - min(foreword_gateway_api_keys_refreshed_timestamp_seconds{{{NS}}})"),
            bad_from=60,
        )
    )
