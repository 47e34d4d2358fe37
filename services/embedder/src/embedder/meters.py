"""What the embedder measures, apart from the RED metrics that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from servicekit import logs
from servicekit.metrics import Label, Metrics

_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Meters:
    """The embedder's own metrics, `foreword_embedder_<noun>_<unit>`."""

    def __init__(self, metrics: Metrics) -> None:
        self.texts: Counter = metrics.counter("texts_total", "Texts that were answered with a vector.")
        self.tokens: Counter = metrics.counter("tokens_total", "Tokens read in these texts.")
        self.truncated: Counter = metrics.counter(
            "truncated_texts_total",
            "Texts longer than the model reads; their ends have no part in the vector.",
        )
        self.cached: Counter = metrics.counter(
            "cache_lookups_total",
            "Lookups of short texts in the cache, by result.",
            [Label("result", ("hit", "miss"))],
        )
        self.refusals: Counter = metrics.counter(
            "refusals_total",
            "Requests refused or dropped for want of capacity, by reason.",
            [Label("reason", ("queue_full", "deadline_exceeded", "model_loading"))],
        )
        self.failures: Counter = metrics.counter(
            "encode_failures_total",
            "Forward passes that raised, by what was tried.",
            [Label("scope", ("pass", "text", "model"))],
        )
        self.batch_texts: Histogram = metrics.histogram(
            "batch_size_texts", "Texts in one forward pass.", buckets=_BATCH_BUCKETS
        )
        self.stage_seconds: Histogram = metrics.histogram(
            "stage_duration_seconds",
            "Time in each stage of encoding.",
            [Label("stage", ("queue", "tokenise", "infer"))],
            buckets=_STAGE_BUCKETS,
        )
        self.waiting_texts: Gauge = metrics.gauge("queue_depth_texts", "Texts that wait for a forward pass.")
        self.waiting_tokens: Gauge = metrics.gauge("queue_depth_tokens", "Tokens of these texts.")
        self.loop_failures: Counter = metrics.counter(
            "loop_failures_total", "Steps of background loops that raised.", [Label("loop", ("load_model",))]
        )
        self.model: Gauge = metrics.gauge(
            "model_info", "The model that serves; always 1.", [Label("model", bound="one a process")]
        )
        self._log = logs.get("embedder")

    def failed(self, scope: str, error: Exception) -> None:
        """Count and log a pass that raised; the text stays out of the log."""
        self.failures.labels(scope).inc()
        self._log.warning("encode_failed", scope=scope, error=type(error).__name__)
