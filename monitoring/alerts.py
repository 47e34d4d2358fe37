"""Alerts on causes that an objective shows late or not at all."""

from __future__ import annotations

from typing import Any

from monitoring.runbooks import alert_annotations

# Without the embedder recommendations go on; only new assets wait.
_SERVICES = {"gateway": "page", "recommender": "page", "embedder": "ticket"}


def groups() -> list[dict[str, Any]]:
    return [
        {
            "name": "foreword-causes",
            "rules": [
                _index_empty(),
                _backlog_old(),
                *(_loop_failing(service) for service in _SERVICES),
                *(_metrics_absent(service, severity) for service, severity in _SERVICES.items()),
            ],
        }
    ]


def _rule(alert: str, expr: str, wait: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": alert,
        "expr": expr,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": alert_annotations(alert, summary=summary, description=description),
    }


def _index_empty() -> dict[str, Any]:
    # A firm that has loaded nothing yet asks for nothing either, and need not be woken.
    return _rule(
        "ForewordIndexEmpty",
        "foreword_recommender_index_assets == 0 and on (namespace) "
        "(sum by (namespace) (rate(foreword_gateway_recommendations_total[10m])) > 0)",
        "5m",
        "page",
        "A recommender has no asset to serve",
        "{{ $labels.instance }} answers requests from an index with nothing in it, so that buyers get static "
        "content or none.",
    )


def _backlog_old() -> dict[str, Any]:
    return _rule(
        "ForewordEmbeddingBacklogOld",
        "max by (namespace) (foreword_recommender_embedding_oldest_pending_seconds) > 300",
        "5m",
        "ticket",
        "New assets wait for their embedding",
        "The oldest asset without an embedding has waited {{ $value | humanizeDuration }}. It cannot be "
        "found by what it is about until it has one.",
    )


def _loop_failing(service: str) -> dict[str, Any]:
    return _rule(
        "ForewordLoopFailing",
        f"sum by (namespace, loop) (increase(foreword_{service}_loop_failures_total[10m])) > 5",
        "10m",
        "ticket",
        f"A background loop of the {service} fails again and again",
        f"The {service}'s loop {{{{ $labels.loop }}}} has failed {{{{ $value | humanize }}}} times in ten "
        "minutes; its work is not done.",
    ) | {"labels": {"severity": "ticket", "service": service}}


def _metrics_absent(service: str, severity: str) -> dict[str, Any]:
    return _rule(
        "ForewordMetricsAbsent",
        f"absent(foreword_{service}_build_info)",
        "5m",
        severity,
        f"Nothing is heard from the {service}",
        f"No {service} has given metrics for five minutes: it is down, or Prometheus does not reach it. "
        "Every other alert about it is blind until then.",
    ) | {"labels": {"severity": severity, "service": service}}
