"""Prometheus metrics: a registry per application, the RED metrics of its routes, and the metrics port."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

from servicekit.admission import Reason

# 0.1 s is the objective for a recommendation, 0.05 s the benchmark's limit, 10 s the upload's.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
SRE, MARKETING, BOTH = "SRE", "marketing", "marketing and SRE"
# Probes would drown the callers' figures.
QUIET_ROUTES = frozenset({"/livez", "/readyz"})
REFUSED_ROUTE = "refused"
_MOST_VALUES = 50

# A second series beside each counter and bucket, which Prometheus does not read as a start time.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Label:
    """A label and what bounds it: its `values` where all are known, else a sentence.

    A metric whose labels are all known stands at 0 from the start, so that a rate sees the first event.
    """

    name: str
    values: tuple[str, ...] = ()
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric as the catalogue lists it; `needed_by` says who looks at it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...]
    needed_by: str
    buckets: tuple[float, ...] = ()


class BoundedLabel:
    """The first values seen keep their names; all later ones are counted together as `other`."""

    def __init__(self, limit: int = _MOST_VALUES) -> None:
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


@dataclass(slots=True)
class Metrics:
    """One service's metrics; names are `foreword_<service>_<noun>_<unit>`, labels are bounded."""

    service: str
    registry: CollectorRegistry
    requests: Counter = field(init=False)
    latency: Histogram = field(init=False)
    in_flight: Gauge = field(init=False)
    threads: Gauge = field(init=False)
    limit: Gauge = field(init=False)
    queued: Gauge = field(init=False)
    refused: Counter = field(init=False)
    definitions: list[Definition] = field(default_factory=list)
    _refused: dict[tuple[str, str, str], tuple[Counter, Counter]] = field(default_factory=dict)
    _answered: dict[tuple[str, str, str], tuple[Counter, Histogram]] = field(default_factory=dict)

    @classmethod
    def create(cls, service: str, version: str) -> Metrics:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        made = cls(service, registry)
        made._create_shared(version)
        return made

    def _create_shared(self, version: str) -> None:
        route = Label("route", bound="the route templates of the service, `unmatched` and `refused`")
        method = Label("method", bound=", ".join(METHODS))
        self.gauge(
            "build_info", "The version that runs; always 1.", [Label("version", bound="one a process")]
        ).labels(version).set(1)
        self.requests = self.counter(
            "http_requests_total",
            "Requests answered, by route template, method and status class.",
            [route, method, Label("status", bound=", ".join(STATUSES))],
        )
        self.latency = self.histogram(
            "http_request_duration_seconds",
            "Time from reading a request to its answer, by route template; exemplars carry trace ids.",
            [route, method],
        )
        self.in_flight = self.gauge("http_requests_in_flight", "Requests being served now.")
        self.threads = self.gauge("http_threads", "Threads that serve requests; more requests wait.")
        self.limit = self.gauge(
            "http_room_requests",
            "Requests taken on at once now; fewer than the threads while many are slow.",
        )
        self.queued = self.gauge("http_queued_connections", "Connections that wait for a thread.")
        self.refused = self.counter(
            "http_refused_total",
            "Requests refused before any work, with 503 or 429: they waited too long for a thread, as many "
            "as may were under way, streams or writes held their part, or their key held its share.",
            [Label("reason", get_args(Reason))],
        )

    def refuse(self, reason: str, method: str, status: int) -> None:
        """Count a refusal by its reason, and as an answer of no route."""
        key = (reason, method, f"{status // 100}xx")
        found = self._refused.get(key)
        if found is None:
            known = method if method in METHODS else "OTHER"
            found = (self.refused.labels(reason), self.requests.labels(REFUSED_ROUTE, known, key[2]))
            if known == method:
                self._refused[key] = found
        for count in found:
            count.inc()

    def answered(self, route: str, method: str, status: int, seconds: float, trace_id: str | None) -> None:
        """Count one answer. The children are kept: looking them up by label costs as much as counting."""
        key = (route, method, f"{status // 100}xx")
        found = self._answered.get(key)
        if found is None:
            known = method if method in METHODS else "OTHER"
            found = (self.requests.labels(route, known, key[2]), self.latency.labels(route, known))
            self._answered[key] = found
        requests, latency = found
        requests.inc()
        latency.observe(seconds, None if trace_id is None else {"trace_id": trace_id})

    def counter(
        self, noun_unit: str, help_text: str, labels: Sequence[str | Label] = (), *, needed_by: str = SRE
    ) -> Counter:
        one = self._define(noun_unit, "counter", help_text, labels, needed_by)
        made = Counter(one.name, help_text, [label.name for label in one.labels], registry=self.registry)
        for values in _known(one.labels):
            made.labels(*values)
        return made

    def gauge(
        self, noun_unit: str, help_text: str, labels: Sequence[str | Label] = (), *, needed_by: str = SRE
    ) -> Gauge:
        one = self._define(noun_unit, "gauge", help_text, labels, needed_by)
        made = Gauge(
            one.name,
            help_text,
            [label.name for label in one.labels],
            registry=self.registry,
            multiprocess_mode="livesum" if noun_unit in _SUMMED else "mostrecent",
        )
        for values in _known(one.labels):
            made.labels(*values)
        return made

    def histogram(
        self,
        noun_unit: str,
        help_text: str,
        labels: Sequence[str | Label] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS,
        *,
        needed_by: str = SRE,
    ) -> Histogram:
        one = self._define(noun_unit, "histogram", help_text, labels, needed_by, tuple(buckets))
        made = Histogram(
            one.name,
            help_text,
            [label.name for label in one.labels],
            buckets=buckets,
            registry=self.registry,
        )
        for values in _known(one.labels):
            made.labels(*values)
        return made

    def _define(
        self,
        noun_unit: str,
        kind: Literal["counter", "gauge", "histogram"],
        help_text: str,
        labels: Sequence[str | Label],
        needed_by: str,
        buckets: tuple[float, ...] = (),
    ) -> Definition:
        made = tuple(label if isinstance(label, Label) else Label(label) for label in labels)
        one = Definition(f"foreword_{self.service}_{noun_unit}", kind, help_text, made, needed_by, buckets)
        self.definitions.append(one)
        return one

    def expect(self, routes: Iterable[tuple[str, str]]) -> None:
        """Let every route and method stand at 0, so that the first error of a quiet route makes a rate."""
        for route, method in routes:
            if route not in QUIET_ROUTES:
                for status in ("2xx", "4xx", "5xx"):
                    self.requests.labels(route, method, status)


_SUMMED = (
    "http_requests_in_flight",
    "http_threads",
    "http_room_requests",
    "http_queued_connections",
)


def _known(labels: Sequence[Label]) -> list[tuple[str, ...]]:
    """Every combination of label values, where all of them are known."""
    if not labels or not all(label.values for label in labels):
        return []
    return list(itertools.product(*(label.values for label in labels)))


def serve(
    registry: CollectorRegistry,
    port: int,
    address: str = "0.0.0.0",  # noqa: S104 - a container listens on all its addresses
) -> tuple[WSGIServer, threading.Thread]:
    """Serve `/metrics` on a port of its own, so that it is never public with the service."""
    return start_http_server(port, addr=address, registry=registry)


def serve_all_workers(port: int) -> tuple[WSGIServer, threading.Thread]:
    """Serve the sum over the workers of a service that runs more than one (PROMETHEUS_MULTIPROC_DIR)."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=os.environ["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
    return serve(registry, port)
