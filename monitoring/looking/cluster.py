"""Stands in for kube-state-metrics and cAdvisor without Kubernetes: the same names, of local processes.

Processor and memory are measured; limits, replicas and restarts are those of a cluster without events.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

import psutil
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# As k8s/base asks for them.
_CORES = {"gateway": 1.0, "recommender": 2.0, "embedder": 2.0}
_MEMORY = {"gateway": 512 * 2**20, "recommender": 3 * 2**30, "embedder": 2 * 2**30}
_MOST = {"gateway": 6.0, "recommender": 6.0, "embedder": 6.0}


class _Cluster(Collector):
    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports
        self._known: dict[str, psutil.Process] = {}

    def _process(self, name: str) -> psutil.Process | None:
        """Looked for anew only when the one known is gone: going through all connections takes long."""
        known = self._known.get(name)
        if known is None or not known.is_running():
            known = _listener(self._ports[name])
            if known is not None:
                self._known[name] = known
        return known

    def collect(self) -> Iterator[Metric]:
        processes = {name: self._process(name) for name in self._ports}
        labels = ["namespace", "pod", "container"]
        cpu = CounterMetricFamily("container_cpu_usage_seconds", "Processor time.", labels=labels)
        memory = GaugeMetricFamily("container_memory_working_set_bytes", "Memory.", labels=labels)
        periods = CounterMetricFamily("container_cpu_cfs_periods", "Periods.", labels=labels)
        throttled = CounterMetricFamily("container_cpu_cfs_throttled_periods", "Held back.", labels=labels)
        restarts = CounterMetricFamily("kube_pod_container_status_restarts", "Restarts.", labels=labels)
        limits = GaugeMetricFamily(
            "kube_pod_container_resource_limits", "Limits.", labels=[*labels, "resource"]
        )
        asked = GaugeMetricFamily(
            "kube_pod_container_resource_requests", "Requests.", labels=[*labels, "resource"]
        )
        ready = GaugeMetricFamily("kube_pod_status_ready", "Ready.", labels=["namespace", "pod", "condition"])
        jobs = GaugeMetricFamily("kube_job_status_failed", "Failed.", labels=["namespace", "job_name"])
        for name, process in processes.items():
            own = ["foreword", f"{name}-0", name]
            alive = process is not None
            used, held = _used(process)
            cpu.add_metric(own, used)
            memory.add_metric(own, held)
            periods.add_metric(own, used * 10)
            throttled.add_metric(own, 0)
            restarts.add_metric(own, 0)
            limits.add_metric([*own, "memory"], _MEMORY[name])
            asked.add_metric([*own, "cpu"], _CORES[name])
            ready.add_metric([*own[:2], "true"], float(alive))
            ready.add_metric([*own[:2], "false"], float(not alive))
            jobs.add_metric(["foreword", f"migrate-{name}-v0"], 0)
        yield from (cpu, memory, periods, throttled, restarts, limits, asked, ready, jobs)
        for suffix, value in (
            ("status_desired_replicas", 1.0),
            ("status_current_replicas", 1.0),
            ("spec_max_replicas", None),
        ):
            scalers = GaugeMetricFamily(
                f"kube_horizontalpodautoscaler_{suffix}",
                "Replicas.",
                labels=["namespace", "horizontalpodautoscaler"],
            )
            for name in processes:
                scalers.add_metric(["foreword", name], _MOST[name] if value is None else value)
            yield scalers


@contextmanager
def cluster(ports: Mapping[str, int]) -> Iterator[int]:
    """Service → its port; → the port on which the stand-in is scraped."""
    registry = CollectorRegistry()
    registry.register(_Cluster(ports))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        yield server.server_port
    finally:
        _stop(server, thread)


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join(5)


def _listener(port: int) -> psutil.Process | None:
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return psutil.Process(one.pid)
    except psutil.NoSuchProcess:
        return None  # it ended while it was looked for
    return None


def _used(process: psutil.Process | None) -> tuple[float, int]:
    """→ (processor seconds, bytes) of a process and its children; 0 where it is gone."""
    if process is None:
        return 0.0, 0
    seconds, held = 0.0, 0
    try:
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            seconds += times.user + times.system
            held += one.memory_info().rss
    except psutil.NoSuchProcess:
        return seconds, held
    return seconds, held
