"""What the recommender measures, apart from the RED metrics that every service has."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from contract.base import BuyerStage
from contract.recommendations import Channel, Tier
from contract.webhooks import EventType
from servicekit.metrics import BOTH, MARKETING, BoundedLabel, Label, Metrics

STAGES: tuple[str, ...] = get_args(BuyerStage)
CHANNELS: tuple[str, ...] = get_args(Channel)
WEBHOOK_EVENTS: tuple[str, ...] = get_args(EventType)
CONTENT_STAGES = ("awareness", "consideration", "decision", "customer")
_DEAD_LETTERS = (
    "not_an_object",
    "nested_too_deeply",
    "event_too_large",
    "nul_character",
    "type_unknown",
    "no_identity",
    "id_invalid",
    "asset_id_invalid",
    "event_missing",
    "timestamp_invalid",
    "user_unproven",
)
LOOPS = (
    "webhook_changes",
    "webhook_deliveries",
    "fold",
    "follow",
    "reconcile",
    "learn",
    "census",
    "canary",
    "remember",
    "attribute",
    "snapshot",
    "standings",
    "calibration",
    "index",
    "pulse",
    "start",
)
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class CatalogueMeters:
    """Assets on their way into the index, and the index itself."""

    def __init__(self, metrics: Metrics) -> None:
        self.writes: Counter = metrics.counter(
            "asset_writes_total",
            "Assets written, by result.",
            [Label("result", ("stored", "unchanged", "deleted"))],
            needed_by=BOTH,
        )
        self.embed_failures: Counter = metrics.counter(
            "embed_failures_total",
            "Assets that had to wait for an embedding.",
            [Label("reason", ("embedder_away", "refused"))],
        )
        self.servable_seconds: Histogram = metrics.histogram(
            "asset_servable_seconds",
            "From the start of a write to being servable here; 10 s is the objective.",
            needed_by=BOTH,
        )
        self.backlog: Gauge = metrics.gauge(
            "embedding_backlog_assets", "Assets without an embedding of the live model.", needed_by=BOTH
        )
        self.oldest_seconds: Gauge = metrics.gauge(
            "embedding_oldest_pending_seconds", "Age of the oldest of them; 0 when there is none."
        )
        self.assets: Gauge = metrics.gauge(
            "index_assets", "Living assets in this replica's index.", needed_by=BOTH
        )
        self.revision: Gauge = metrics.gauge(
            "index_revision_number", "Catalogue revision that this replica serves."
        )
        self.unconfirmed_seconds: Gauge = metrics.gauge(
            "index_unconfirmed_seconds",
            "Time since this replica last knew that its index was as new as the database.",
        )
        self.model: Gauge = metrics.gauge(
            "index_model_info",
            "The model whose vectors the index holds; always 1.",
            [Label("model", bound="one a replica")],
        )
        self.lag_seconds: Histogram = metrics.histogram(
            "index_lag_seconds", "From the write of a change to this replica serving it.", buckets=_LONG
        )
        self.build_seconds: Histogram = metrics.histogram(
            "index_build_seconds",
            "Time to build the index anew, or to apply changes to it.",
            [Label("kind", ("full", "changes", "approximate"))],
            buckets=_LONG,
        )
        self.search_seconds: Histogram = metrics.histogram(
            "index_search_seconds", "Time of one search for neighbours.", buckets=_SHORT
        )
        self.recall: Gauge = metrics.gauge(
            "index_recall_ratio",
            "Share of the exact 10 nearest that a search finds, asked by a canary now and then.",
        )
        self.built_recall: Gauge = metrics.gauge(
            "index_built_recall_ratio",
            "The same, measured when the approximate index was built or restored; 1 while search is exact.",
        )
        self.approximate_assets: Gauge = metrics.gauge(
            "index_approximate_assets", "Rows that an approximate index holds; 0 while search is exact."
        )
        self.index_bytes: Gauge = metrics.gauge(
            "index_approximate_bytes", "Memory of the approximate index; 0 while search is exact."
        )


class SignalMeters:
    """What buyers did, as it was read, and the profiles that come of it."""

    def __init__(self, metrics: Metrics, kinds: Sequence[str]) -> None:
        self.signals: Counter = metrics.counter(
            "signals_total",
            "Events read, by kind.",
            [Label("kind", bound="the kinds of `signals.toml`"), Label("outcome", bound="read")],
            needed_by=BOTH,
        )
        for kind in kinds:
            self.signals.labels(kind, "read")
        self.dead_letters: Counter = metrics.counter(
            "dead_letters_total", "Events that made no sense, by reason.", [Label("code", _DEAD_LETTERS)]
        )
        placed = (
            Label("placement", bound="the first 50 seen, then `other`"),
            Label("channel", bound=", ".join(CHANNELS) + ", other"),
        )
        self.impressions: Counter = metrics.counter(
            "impressions_total", "Recommendations that a buyer saw.", placed, needed_by=MARKETING
        )
        self.clicks: Counter = metrics.counter(
            "clicks_total", "Recommendations that a buyer followed.", placed, needed_by=MARKETING
        )
        self.impressions.labels("default", "web")
        self.clicks.labels("default", "web")
        self.placement_label = BoundedLabel()
        self.folds: Counter = metrics.counter("profile_folds_total", "Profiles folded from the log.")
        self.fold_seconds: Histogram = metrics.histogram(
            "profile_fold_seconds",
            "Time to read and fold one block of profiles (one buyer in a request, up to 100 in the loop).",
        )

    def acted(self, kind: str, placement: object, channel: object) -> None:
        """Count one impression or click; a placement or channel that is none counts as `other`."""
        counter = self.impressions if kind == "impression" else self.clicks
        named = placement if isinstance(placement, str) and 0 < len(placement) <= 200 else "default"
        known = channel if channel in CHANNELS else "other"
        counter.labels(self.placement_label(named), known).inc()


class AnswerMeters:
    """Recommendations as they were made."""

    def __init__(self, metrics: Metrics) -> None:
        self.answers: Counter = metrics.counter(
            "recommendations_total",
            "Answers by tier.",
            [Label("tier", get_args(Tier)), Label("degraded", ("true", "false"))],
            needed_by=BOTH,
        )
        self.empty: Counter = metrics.counter("empty_recommendations_total", "Answers without an asset.")
        self.read_failures: Counter = metrics.counter(
            "buyer_read_failures_total", "Answers made without the database."
        )
        self.log_rows: Counter = metrics.counter(
            "recommendation_log_rows_total",
            "Answers remembered, and those lost because the database stayed away.",
            [Label("outcome", ("written", "dropped"))],
        )
        self.stage_seconds: Histogram = metrics.histogram(
            "answer_stage_seconds",
            "Time of each part of an answer: reading the buyer, ranking, writing it down.",
            [Label("stage", ("read", "rank", "render"))],
            buckets=_SHORT,
        )
        self.learning_seconds: Histogram = metrics.histogram(
            "behaviour_learning_seconds", "Time to learn from the log.", buckets=_LONG
        )
        self.behaviour_events: Gauge = metrics.gauge(
            "behaviour_events", "Signals that the present behaviour was learnt from."
        )


class StageMoves:
    """Totals that the database keeps: every replica gives the same, before and after a restart."""

    def __init__(self, metrics: Metrics) -> None:
        # No series before the totals are known: a 0 in between would look like a restart of the count.
        among = ", ".join(STAGES)
        self._counter: Counter = metrics.counter(
            "stage_moves_total",
            "Changes of stage since counting began; every replica gives the same total, so take the largest.",
            [
                Label("subject", bound="buyer, account"),
                Label("from", bound=among),
                Label("to", bound=among),
            ],
            needed_by=MARKETING,
        )
        self._shown: dict[tuple[str, str, str], int] = {}

    def show(self, totals: Mapping[tuple[str, str, str], int]) -> None:
        """Give these totals, by (subject, from, to), and 0 for every other move that there could be."""
        for key in itertools.product(("buyer", "account"), STAGES, STAGES):
            if key[1] == key[2]:
                continue
            total, child = totals.get(key, 0), self._counter.labels(*key)
            if total < self._shown.get(key, 0):  # an older database was restored
                child.reset()
                self._shown[key] = 0
            child.inc(total - self._shown.get(key, 0))
            self._shown[key] = total


class BusinessMeters:
    """What the census finds out, of the 2,000 buyers with the newest signals and their accounts."""

    def __init__(self, metrics: Metrics) -> None:
        stage = Label("stage", STAGES)
        self.buyers: Gauge = metrics.gauge(
            "stage_buyers",
            "Buyers by the stage they are shown at; of those with the newest signals, 2,000 at most.",
            [stage],
            needed_by=MARKETING,
        )
        self.accounts: Gauge = metrics.gauge(
            "stage_accounts",
            "Accounts by the stage they are shown at; those of the counted buyers.",
            [stage],
            needed_by=MARKETING,
        )
        self.moves = StageMoves(metrics)
        self.opportunities: Gauge = metrics.gauge(
            "opportunities",
            "Opportunities of the last 180 days, by whether the account was recognised 30 days before.",
            [Label("recognised", ("early", "late", "not"))],
            needed_by=BOTH,
        )
        self.lead_time: Gauge = metrics.gauge(
            "lead_time_median_seconds",
            "Half of these opportunities' accounts were recognised at least so long before.",
            needed_by=BOTH,
        )
        self.coverage: Gauge = metrics.gauge(
            "coverage_assets",
            "Assets that may be shown now, by the stage they fit best.",
            [Label("stage", CONTENT_STAGES)],
            needed_by=MARKETING,
        )
        self.cells: Gauge = metrics.gauge(
            "coverage_cells",
            "Pairs of stage and persona, or of stage and topic, with an asset and without.",
            [Label("by", ("persona", "topic")), Label("filled", ("true", "false"))],
            needed_by=MARKETING,
        )
        self.webhook_age: Gauge = metrics.gauge(
            "webhook_oldest_pending_seconds",
            "Age of the oldest webhook that has not been delivered; 0 when there is none.",
        )
        self.webhooks_pending: Gauge = metrics.gauge(
            "webhook_pending_deliveries", "Webhooks that wait for their delivery."
        )
        self.counted_at: Gauge = metrics.gauge(
            "census_timestamp_seconds", "When buyers were last counted, in Unix time."
        )
        self.census_seconds: Histogram = metrics.histogram(
            "census_duration_seconds", "Time that a count took.", buckets=_LONG
        )


class WebhookMeters:
    """Webhooks out; how long the oldest has waited is counted with the business figures."""

    def __init__(self, metrics: Metrics) -> None:
        self.events: Counter = metrics.counter(
            "webhook_events_total", "Events put into the outbox, by type.", [Label("type", WEBHOOK_EVENTS)]
        )
        self.deliveries: Counter = metrics.counter(
            "webhook_deliveries_total",
            "Attempts to deliver a webhook, by outcome; failed is given up.",
            [Label("outcome", ("delivered", "retried", "failed"))],
        )
        self.disabled: Gauge = metrics.gauge(
            "webhook_endpoints_disabled", "Endpoints to which nothing is sent until they are stored anew."
        )


class RecommenderMeters:
    """All of them, `foreword_recommender_<noun>_<unit>`."""

    def __init__(self, metrics: Metrics, kinds: Sequence[str] = ()) -> None:
        self.catalogue = CatalogueMeters(metrics)
        self.signals = SignalMeters(metrics, kinds)
        self.answers = AnswerMeters(metrics)
        self.business = BusinessMeters(metrics)
        self.webhooks = WebhookMeters(metrics)
        self.loop_failures: Counter = metrics.counter(
            "loop_failures_total", "Failed steps of background loops.", [Label("loop", LOOPS)]
        )
        self.upstream_up: Gauge = metrics.gauge(
            "upstream_up",
            "1 while calls to it come through, 0 while its circuit breaker is open.",
            [Label("upstream", ("embedder",))],
        )
        self.database_up: Gauge = metrics.gauge(
            "database_up",
            "1 if the database answered when last asked, every few seconds; 0 too while it hangs.",
        )
        self.database_connections: Gauge = metrics.gauge(
            "database_connections_in_use", "Database connections that a request or loop holds."
        )
        self.database_connections_limit: Gauge = metrics.gauge(
            "database_connections_limit", "Database connections that the pool opens at most."
        )
