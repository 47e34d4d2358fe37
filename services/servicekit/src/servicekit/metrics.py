"""Prometheus metrics: a registry per application, the RED metrics of its routes, and the metrics port."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

# 0.1 s is the objective for a recommendation, 0.05 s the benchmark's limit, 10 s the upload's.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Metrics:
    """One service's metrics; names are `foreword_<service>_<noun>_<unit>`, labels are bounded."""

    service: str
    registry: CollectorRegistry
    requests: Counter
    latency: Histogram
    in_flight: Gauge

    @classmethod
    def create(cls, service: str, version: str) -> Metrics:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        prefix = f"foreword_{service}"
        build = Gauge(
            f"{prefix}_build_info",
            "The version that runs; always 1.",
            ["version"],
            registry=registry,
            multiprocess_mode="max",
        )
        build.labels(version).set(1)
        return cls(
            service,
            registry,
            Counter(
                f"{prefix}_http_requests_total",
                "Requests answered, by route template, method and status class.",
                ["route", "method", "status"],
                registry=registry,
            ),
            Histogram(
                f"{prefix}_http_request_duration_seconds",
                "Time from reading a request to its answer, by route template.",
                ["route", "method"],
                buckets=LATENCY_BUCKETS,
                registry=registry,
            ),
            Gauge(
                f"{prefix}_http_requests_in_flight",
                "Requests being served now.",
                registry=registry,
                multiprocess_mode="livesum",
            ),
        )

    def counter(self, noun_unit: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"foreword_{self.service}_{noun_unit}", help_text, labels, registry=self.registry)

    def gauge(self, noun_unit: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(
            f"foreword_{self.service}_{noun_unit}",
            help_text,
            labels,
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

    def histogram(
        self,
        noun_unit: str,
        help_text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        return Histogram(
            f"foreword_{self.service}_{noun_unit}",
            help_text,
            labels,
            buckets=buckets,
            registry=self.registry,
        )


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
