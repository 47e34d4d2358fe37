"""Metrics that others emit and our rules and dashboards read: Prometheus itself, Kubernetes, the process."""

from __future__ import annotations

OUTSIDE: dict[str, tuple[str, str, frozenset[str]]] = {
    "up": ("Prometheus", "Whether the last scrape of a target went through.", frozenset()),
    "ALERTS": (
        "Prometheus",
        "Alerts that are pending or fire.",
        frozenset({"alertname", "alertstate", "severity"}),
    ),
    **{
        f"process_{name}": ("each service", text, frozenset[str]())
        for name, text in {
            "cpu_seconds_total": "Processor time that the process has used.",
            "resident_memory_bytes": "Memory that the process holds.",
            "virtual_memory_bytes": "Address space of the process.",
            "start_time_seconds": "When the process began, in Unix time.",
            "open_fds": "Open files and connections.",
            "max_fds": "Files and connections that it may open.",
        }.items()
    },
    "container_cpu_usage_seconds_total": (
        "cAdvisor",
        "Processor time of a container.",
        frozenset({"container"}),
    ),
    "container_memory_working_set_bytes": (
        "cAdvisor",
        "Memory of a container that cannot be taken from it.",
        frozenset({"container"}),
    ),
    "container_cpu_cfs_throttled_periods_total": (
        "cAdvisor",
        "Periods in which a container wanted more processor than its limit.",
        frozenset({"container"}),
    ),
    "container_cpu_cfs_periods_total": ("cAdvisor", "Periods looked at.", frozenset({"container"})),
    "kube_pod_container_resource_limits": (
        "kube-state-metrics",
        "Limits of a container.",
        frozenset({"container", "resource"}),
    ),
    "kube_pod_container_resource_requests": (
        "kube-state-metrics",
        "What a container asks for.",
        frozenset({"container", "resource"}),
    ),
    "kube_pod_container_status_restarts_total": (
        "kube-state-metrics",
        "Restarts of a container.",
        frozenset({"container"}),
    ),
    "kube_pod_status_ready": (
        "kube-state-metrics",
        "Whether a pod is ready.",
        frozenset({"condition"}),
    ),
    "kube_job_status_failed": ("kube-state-metrics", "Failed pods of a Job.", frozenset({"job_name"})),
    "kube_horizontalpodautoscaler_status_desired_replicas": (
        "kube-state-metrics",
        "Replicas that an autoscaler wants.",
        frozenset({"horizontalpodautoscaler"}),
    ),
    "kube_horizontalpodautoscaler_status_current_replicas": (
        "kube-state-metrics",
        "Replicas that there are.",
        frozenset({"horizontalpodautoscaler"}),
    ),
    "kube_horizontalpodautoscaler_spec_max_replicas": (
        "kube-state-metrics",
        "Replicas that an autoscaler may want at most.",
        frozenset({"horizontalpodautoscaler"}),
    ),
}
"""Name → who emits it, what it says, its own labels."""
