"""Alerts on what Kubernetes knows: the figures of kube-state-metrics and of the kubelet's cAdvisor."""

from __future__ import annotations

from typing import Any

from monitoring.rules import rule

_OURS = 'container=~"gateway|recommender|embedder"'


def rules() -> list[dict[str, Any]]:
    return [
        rule(
            "ForewordMigrationFailed",
            "max by (namespace, job_name) "
            '(kube_job_status_failed{job_name=~"migrate-(gateway|recommender).*"}) > 0',
            "1m",
            "ticket",
            "A migration did not go through",
            "The Job {{ $labels.job_name }} failed. Pods of the new release do not become ready without it; "
            "those of the old one go on serving.",
        ),
        rule(
            "ForewordMemoryNearLimit",
            f"max by (namespace, pod, container) (container_memory_working_set_bytes{{{_OURS}}}) / "
            "max by (namespace, pod, container) "
            f'(kube_pod_container_resource_limits{{resource="memory",{_OURS}}}) > 0.9',
            "10m",
            "ticket",
            "A container comes near its memory limit",
            "{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its limit; past it the container is "
            "killed.",
        ),
        *(
            rule(
                "ForewordRestartLoop",
                "sum by (namespace, pod) "
                f'(increase(kube_pod_container_status_restarts_total{{container="{service}"}}[15m])) > 2',
                "1m",
                severity,
                f"The {service} restarts again and again",
                "{{ $labels.pod }} has restarted {{ $value | humanize }} times in fifteen minutes.",
                service=service,
            )
            for service, severity in (("gateway", "page"), ("recommender", "page"), ("embedder", "ticket"))
        ),
        rule(
            "ForewordAutoscalerAtMaximum",
            "max by (namespace, horizontalpodautoscaler) "
            "(kube_horizontalpodautoscaler_status_desired_replicas"
            '{horizontalpodautoscaler=~"gateway|recommender|embedder"}) >= '
            "max by (namespace, horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas)",
            "30m",
            "ticket",
            "An autoscaler is at its maximum",
            "{{ $labels.horizontalpodautoscaler }} has wanted all of its {{ $value }} replicas for half an "
            "hour: more load finds no more pods.",
        ),
    ]
