"""The shape of one alert."""

from __future__ import annotations

from typing import Any

from monitoring.runbooks import alert_annotations


def rule(
    alert: str,
    expr: str,
    wait: str | None,
    severity: str,
    summary: str,
    description: str,
    *,
    keep: str | None = None,
    **labels: str,
) -> dict[str, Any]:
    """An alerting rule; `wait` is how long `expr` must hold first, `keep` how long it fires on after."""
    return {
        "alert": alert,
        "expr": expr,
        **({"for": wait} if wait else {}),
        **({"keep_firing_for": keep} if keep else {}),
        "labels": {"severity": severity, **labels},
        "annotations": alert_annotations(alert, summary=summary, description=description),
    }
