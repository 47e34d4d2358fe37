"""What Kubernetes knows of our pods: processor, memory, restarts, autoscalers, migrations."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.panels import CORES, Panel, Query, board, graph
from monitoring.queries import HERE, NS, RATE

_OURS = f'{HERE},container=~"gateway|recommender|embedder",container=~"$service"'
_SCALERS = f'{NS},horizontalpodautoscaler=~"gateway|recommender|embedder"'


def kubernetes() -> dashboard.Dashboard:
    return board(
        "Foreword: Kubernetes",
        "foreword-kubernetes",
        "Pods, containers and autoscalers; needs kube-state-metrics and the kubelet's cAdvisor.",
        [("Containers", _containers()), ("Pods and autoscalers", _pods())],
        since="now-6h",
    )


def _containers() -> list[Panel]:
    used = f"sum by (pod, container) (rate(container_cpu_usage_seconds_total{{{_OURS}}}{RATE}))"
    asked = f'sum by (pod, container) (kube_pod_container_resource_requests{{resource="cpu",{_OURS}}})'
    memory = f"sum by (pod, container) (container_memory_working_set_bytes{{{_OURS}}})"
    limit = f'sum by (pod, container) (kube_pod_container_resource_limits{{resource="memory",{_OURS}}})'
    throttled = f"rate(container_cpu_cfs_throttled_periods_total{{{_OURS}}}{RATE})"
    periods = f"rate(container_cpu_cfs_periods_total{{{_OURS}}}{RATE})"
    return [
        graph("CPU", "Cores that each container uses.", CORES, Query(used, "{{pod}}")),
        graph(
            "CPU against its request",
            "Share of what it asks for; the autoscalers hold this near their target.",
            "percentunit",
            Query(f"{used} / {asked}", "{{pod}}"),
        ),
        graph(
            "CPU throttled",
            "Share of the periods in which a container was held back by a limit.",
            "percentunit",
            Query(f"sum by (pod) ({throttled}) / (sum by (pod) ({periods}) > 0)", "{{pod}}"),
        ),
        graph("Memory", "Memory that cannot be taken from a container.", "bytes", Query(memory, "{{pod}}")),
        graph(
            "Memory against its limit",
            "At 1 the container is killed.",
            "percentunit",
            Query(f"{memory} / {limit}", "{{pod}}"),
            highest=1,
        ),
        graph(
            "Restarts",
            "Restarts of a container within an hour.",
            "short",
            Query(
                f"sum by (pod) (increase(kube_pod_container_status_restarts_total{{{_OURS}}}[1h]))", "{{pod}}"
            ),
        ),
    ]


def _pods() -> list[Panel]:
    name = "horizontalpodautoscaler"
    return [
        graph(
            "Pods that are ready",
            "Pods that get requests.",
            "short",
            Query(f'sum(kube_pod_status_ready{{{HERE},condition="true"}})', "ready"),
            Query(f'sum(kube_pod_status_ready{{{HERE},condition="false"}})', "not ready"),
        ),
        graph(
            "Replicas wanted",
            "What each autoscaler wants, beside what there is and what it may have.",
            "short",
            Query(
                f"max by ({name}) (kube_horizontalpodautoscaler_status_desired_replicas{{{_SCALERS}}})",
                f"{{{{{name}}}}} wanted",
            ),
            Query(
                f"max by ({name}) (kube_horizontalpodautoscaler_status_current_replicas{{{_SCALERS}}})",
                f"{{{{{name}}}}} there",
            ),
            Query(
                f"max by ({name}) (kube_horizontalpodautoscaler_spec_max_replicas{{{_SCALERS}}})",
                f"{{{{{name}}}}} at most",
            ),
        ),
        graph(
            "Migrations that failed",
            "Failed pods of the migration Jobs.",
            "short",
            Query(
                "max by (job_name) "
                f'(kube_job_status_failed{{{NS},job_name=~"migrate-(gateway|recommender).*"}})',
                "{{job_name}}",
            ),
        ),
    ]
