"""For those who run Foreword: are the promises kept, and where does it hurt if not?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.boards.promises import promises
from monitoring.burn_rates import BUDGET, ERRORS
from monitoring.objectives import Objective
from monitoring.panels import CORES, SERVICES, Panel, Query, board, graph
from monitoring.queries import HERE, NS, RATE, over, quantile, rate, series

_CHOSEN = 'job=~"$service"'


def overview(objectives: tuple[Objective, ...]) -> dashboard.Dashboard:
    return board(
        "Foreword: Overview",
        "foreword-overview",
        "Are the promises kept, and where does it hurt if not?",
        [
            ("Objectives (30 days)", _objectives(objectives)),
            ("By service", _red()),
            ("At the edge", _edge()),
            ("Saturation", _saturation()),
            ("Parts", _parts()),
        ],
        since="now-6h",
    )


def _objectives(objectives: tuple[Objective, ...]) -> list[Panel]:
    return [
        *promises(objectives, "The objective is", decimals=3),
        graph(
            "Error budget left",
            "What is left of the failures that 30 days allow; at 0 the promise is broken.",
            "percentunit",
            *(Query(f'{BUDGET}{{{NS},slo="{one.name}"}}', one.title) for one in objectives),
            width=6,
            lowest=None,
            highest=1,
        ),
        graph(
            "Burn rate over an hour",
            "How many times faster than it lasts the budget is spent; 14.4 over an hour pages.",
            "suffix:×",
            *(
                Query(f'{ERRORS}1h{{{NS},slo="{one.name}"}} / {one.allowed_ratio}', one.title)
                for one in objectives
            ),
            width=6,
        ),
        graph(
            "Failing now",
            "Share of events in the last five minutes that break an objective.",
            "percentunit",
            *(Query(f'{ERRORS}5m{{{NS},slo="{one.name}"}}', one.title) for one in objectives),
            width=6,
        ),
        graph(
            "Alerts that fire",
            "Each leads to its runbook. The watchdog always fires: it says that alerting works.",
            "short",
            Query(
                'count by (alertname, severity) (ALERTS{alertstate="firing"})', "{{alertname}} ({{severity}})"
            ),
            width=6,
            runbooks=True,
        ),
    ]


def _red() -> list[Panel]:
    def each(make: str) -> list[Query]:
        return [
            Query(make.replace("SERVICE", service), "{{job}}" if "by (job" in make else service)
            for service in SERVICES
        ]

    requests = rate("SERVICE_http_requests_total", "job", _CHOSEN)
    errors = rate("SERVICE_http_requests_total", "job", f'{_CHOSEN},status="5xx"')
    return [
        graph("Requests", "Requests a second that each service answered.", "reqps", *each(requests), width=6),
        graph(
            "Errors",
            "Share of each service's answers that were 5xx.",
            "percentunit",
            *each(over(errors, requests)),
            width=6,
        ),
        graph(
            "Duration",
            "95% of each service's answers were faster than this; points lead to single traces.",
            "s",
            *each(quantile(0.95, "SERVICE_http_request_duration_seconds", "job", _CHOSEN)),
            width=6,
            traced=True,
        ),
        graph(
            "In flight",
            "Requests that are served now.",
            "short",
            *each(f"sum by (job) ({series('SERVICE_http_requests_in_flight', _CHOSEN)})"),
            width=6,
        ),
    ]


def _edge() -> list[Panel]:
    requests = "gateway_http_requests_total"
    single = 'route="/v1/recommendations"'
    return [
        graph(
            "Requests by route",
            "Requests a second at the public edge, by route template; those without one are left out.",
            "reqps",
            Query(f"{rate(requests, 'route')} > 0", "{{route}}"),
            stacked=True,
        ),
        graph(
            "Requests by status",
            "2xx are answers, 4xx the callers' mistakes, 5xx ours.",
            "reqps",
            Query(rate(requests, "status"), "{{status}}"),
            stacked=True,
        ),
        graph(
            "Recommendation latency",
            "Time from reading a request for one recommendation to its answer; the objective is 0.1 s.",
            "s",
            *(
                Query(quantile(q, "gateway_http_request_duration_seconds", "", single), name)
                for q, name in ((0.5, "half"), (0.95, "95%"), (0.99, "99%"))
            ),
            traced=True,
        ),
        graph(
            "Answers by tier",
            "How recommendations were made; `popular` and `static` know nothing of the buyer.",
            "reqps",
            *(
                Query(f"{rate('gateway_recommendations_total', 'tier', where)} > 0", legend)
                for where, legend in (
                    ('degraded="false"', "{{tier}}"),
                    ('degraded="true"', "{{tier}}, degraded"),
                )
            ),
            stacked=True,
        ),
        graph(
            "Time in the recommender",
            "95% of the gateway's calls inwards are faster than this, by operation.",
            "s",
            Query(quantile(0.95, "gateway_upstream_request_duration_seconds", "operation"), "{{operation}}"),
        ),
        graph(
            "Refused",
            "Requests a second that were refused for their key, or over their limit.",
            "reqps",
            Query(rate("gateway_auth_failures_total", "reason"), "key: {{reason}}"),
            Query(rate("gateway_rate_limited_total"), "over the limit"),
            Query(rate("gateway_rate_limiter_failures_total"), "limiter away"),
        ),
    ]


def _saturation() -> list[Panel]:
    return [
        graph(
            "Threads in use",
            "Share of a process's threads that serve a request; at 1 new requests wait.",
            "percentunit",
            *(
                Query(
                    f"{series(f'{s}_http_requests_in_flight', _CHOSEN)} / "
                    f"{series(f'{s}_http_threads', _CHOSEN)}",
                    "{{pod}}",
                )
                for s in SERVICES
            ),
        ),
        graph(
            "Requests taken on at once",
            "Falls below the threads while many are slow; what is above it is refused.",
            "short",
            *(Query(series(f"{s}_http_room_requests", _CHOSEN), "{{pod}}") for s in SERVICES),
        ),
        graph(
            "Connections waiting for a thread",
            "Above 0 for long, there are too few threads or replicas.",
            "short",
            *(Query(series(f"{s}_http_queued_connections", _CHOSEN), "{{pod}}") for s in SERVICES),
        ),
        graph(
            "Database connections in use",
            "Share of a process's pool that is taken; at 1 requests wait for a connection.",
            "percentunit",
            *(
                Query(
                    f"{series(f'{s}_database_connections_in_use', _CHOSEN)} / "
                    f"{series(f'{s}_database_connections_limit', _CHOSEN)}",
                    "{{pod}}",
                )
                for s in ("gateway", "recommender")
            ),
        ),
        graph(
            "CPU",
            "Cores used by each process.",
            CORES,
            Query(f"rate(process_cpu_seconds_total{{{HERE},{_CHOSEN}}}{RATE})", "{{pod}}"),
        ),
        graph(
            "Memory",
            "Resident memory of each process; at its limit it is killed.",
            "bytes",
            Query(f"process_resident_memory_bytes{{{HERE},{_CHOSEN}}}", "{{pod}}"),
        ),
        graph(
            "Open files",
            "Files and connections of each process, as a share of those it may open.",
            "percentunit",
            Query(
                f"process_open_fds{{{HERE},{_CHOSEN}}} / process_max_fds{{{HERE},{_CHOSEN}}}",
                "{{pod}}",
            ),
        ),
    ]


def _parts() -> list[Panel]:
    return [
        graph(
            "Parts that answer",
            "1 while a part is reached by those who need it, 0 while it is away.",
            "short",
            Query(f"min({series('gateway_upstream_up')})", "recommender, from the gateway"),
            Query(f"min({series('recommender_database_up')})", "database, from the recommender"),
            Query(f"min({series('recommender_upstream_up')})", "embedder, from the recommender"),
            width=6,
            highest=1,
        ),
        graph(
            "Background loops that failed",
            "Failed steps in five minutes, of each service and each loop that failed; each is tried again.",
            "short",
            *(
                query
                for s in SERVICES
                for query in (
                    Query(f"sum(increase({series(f'{s}_loop_failures_total')}[5m]))", f"{s}, all loops"),
                    Query(
                        f"sum by (loop) (increase({series(f'{s}_loop_failures_total')}[5m])) > 0",
                        f"{s}: {{{{loop}}}}",
                    ),
                )
            ),
            width=6,
        ),
        graph(
            "Processes by version",
            "During a release two versions run side by side.",
            "short",
            *(
                Query(f"count by (version) ({series(f'{s}_build_info')})", f"{s} {{{{version}}}}")
                for s in SERVICES
            ),
            width=6,
        ),
        graph(
            "Keys last read",
            "Age of the gateway's copy of the keys; it grows while the database is away.",
            "s",
            Query(f"time() - min({series('gateway_api_keys_refreshed_timestamp_seconds')})", "age"),
            width=6,
        ),
    ]
