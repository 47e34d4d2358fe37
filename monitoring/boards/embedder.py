"""The embedder: what it reads, how long each step takes, what it refuses."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.panels import CORES, Panel, Query, board, graph
from monitoring.queries import HERE, RATE, over, quantile, rate, series


def embedder() -> dashboard.Dashboard:
    return board(
        "Foreword: Embedder",
        "foreword-embedder",
        "Texts in, vectors out: queue, tokeniser, inference.",
        [("Work", _work()), ("Time", _time()), ("Trouble", _trouble())],
        since="now-3h",
    )


def _work() -> list[Panel]:
    looked_up = rate("embedder_cache_lookups_total")
    found = rate("embedder_cache_lookups_total", "", 'result="hit"')
    return [
        graph(
            "Texts", "Texts a second that got a vector.", "cps", Query(rate("embedder_texts_total"), "texts")
        ),
        graph(
            "Tokens", "Tokens a second that were read.", "cps", Query(rate("embedder_tokens_total"), "tokens")
        ),
        graph(
            "Texts in a pass",
            "Texts that shared one forward pass: half of the passes, and nearly all, had no more.",
            "short",
            # Between the bounds 0 and 1 a quantile is reckoned, but a pass has one text at least.
            *(
                Query(f"clamp_min({quantile(q, 'embedder_batch_size_texts', window='[10m]')}, 1)", name)
                for q, name in ((0.5, "half"), (0.95, "95%"))
            ),
        ),
        graph(
            "Found in the cache",
            "Share of short texts whose vector was at hand.",
            "percentunit",
            Query(over(found, looked_up), "hits"),
            highest=1,
        ),
        graph(
            "CPU",
            "Cores used by each process.",
            CORES,
            Query(f'rate(process_cpu_seconds_total{{{HERE},job="embedder"}}{RATE})', "{{pod}}"),
        ),
        graph(
            "Models",
            "Processes by the model that they serve.",
            "short",
            Query(f"count by (model) ({series('embedder_model_info')})", "{{model}}"),
        ),
    ]


def _time() -> list[Panel]:
    return [
        graph(
            "Time by stage",
            "95% are faster: waiting for a pass, tokenising, inference.",
            "s",
            Query(quantile(0.95, "embedder_stage_duration_seconds", "stage", window="[10m]"), "{{stage}}"),
        ),
        graph(
            "Time of a request",
            "Time from reading a request for vectors to its answer.",
            "s",
            *(
                Query(
                    quantile(
                        q,
                        "embedder_http_request_duration_seconds",
                        "",
                        'route="/v1/embeddings"',
                        window="[10m]",
                    ),
                    name,
                )
                for q, name in ((0.5, "half"), (0.95, "95%"))
            ),
            traced=True,
        ),
        graph(
            "Waiting",
            "Texts and tokens that wait for a forward pass.",
            "short",
            Query(f"sum({series('embedder_queue_depth_texts')})", "texts"),
            Query(f"sum({series('embedder_queue_depth_tokens')})", "tokens"),
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        graph(
            "Refused",
            "Requests a second refused or given up for want of room, time or a model.",
            "reqps",
            Query(rate("embedder_refusals_total", "reason"), "{{reason}}"),
        ),
        graph(
            "Passes that failed",
            "Forward passes a second that raised: a whole pass, one text of it, or the model on any text.",
            "cps",
            Query(rate("embedder_encode_failures_total", "scope"), "{{scope}}"),
        ),
        graph(
            "Texts that were too long",
            "Texts a second whose end the model did not read.",
            "cps",
            Query(rate("embedder_truncated_texts_total"), "cut"),
        ),
    ]
