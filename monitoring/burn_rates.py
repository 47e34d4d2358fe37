"""Recording rules of each objective, and alerts by how fast its error budget burns.

Several windows and several rates, after chapter 5 of Google's Site Reliability Workbook: the long window says
that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.objectives import Objective
from monitoring.runbooks import alert_annotations

ERRORS = "slo:foreword_errors:ratio_rate"
EVENTS = "slo:foreword_events:rate"
BUDGET = "slo:foreword_error_budget:remaining_ratio"

_SHORT_WINDOWS = ("5m", "30m", "1h", "2h", "6h")
_LONG_WINDOWS = ("1d", "3d", "30d")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class BurnRate:
    """At `factor` times the sustainable rate, over both windows."""

    factor: float
    long: str
    short: str


# 14.4 for an hour spends 2% of 30 days' budget, 6 for six hours 5%, 3 for a day and 1 for three days 10%.
PAGE = (BurnRate(14.4, "1h", "5m"), BurnRate(6, "6h", "30m"))
TICKET = (BurnRate(3, "1d", "2h"), BurnRate(1, "3d", "6h"))


def groups(objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Prometheus rule groups: ratios of short windows, of long ones (reckoned less often), and the alerts."""
    return [
        {
            "name": "foreword-slo-recording",
            "interval": "30s",
            "rules": [
                *(rule for one in objectives for window in _SHORT_WINDOWS for rule in _ratios(one, window)),
            ],
        },
        {
            # A value is looked up for five minutes at most, so this must stay well below.
            "name": "foreword-slo-recording-long",
            "interval": "2m",
            "rules": [
                *(rule for one in objectives for window in _LONG_WINDOWS for rule in _ratios(one, window)),
                *(_budget(one) for one in objectives),
            ],
        },
        {
            "name": "foreword-slo-alerts",
            "rules": [
                alert
                for one in objectives
                for alert in (_alert(one, PAGE, "page"), _alert(one, TICKET, "ticket"))
            ],
        },
    ]


def _ratios(objective: Objective, window: str) -> tuple[dict[str, Any], dict[str, Any]]:
    total, bad = objective.total_over(window), objective.bad_over(window)
    labels = {"slo": objective.name}
    return (
        # Nothing bad yet means no such series: that is 0, as long as there is traffic at all.
        {
            "record": f"{ERRORS}{window}",
            "labels": labels,
            "expr": f"(({bad}) or 0 * ({total})) / (({total}) > 0)",
        },
        {"record": f"{EVENTS}{window}", "labels": labels, "expr": total},
    )


def _budget(objective: Objective) -> dict[str, Any]:
    return {
        "record": BUDGET,
        "labels": {"slo": objective.name},
        "expr": f'1 - {ERRORS}30d{{slo="{objective.name}"}} / {objective.allowed_ratio}',
    }


def _alert(objective: Objective, rates: Sequence[BurnRate], severity: str) -> dict[str, Any]:
    percent = f"{objective.objective * 100:g}%"
    windows = " or ".join(f"{rate.factor:g} times over {rate.long}" for rate in rates)
    return {
        "alert": objective.alert,
        "expr": " or ".join(f"({_burning(objective, rate)})" for rate in rates),
        # An alert that names the part that is away comes sooner, and inhibits this one.
        "for": "2m",
        "labels": {"severity": severity, "slo": objective.name},
        "annotations": alert_annotations(
            objective.alert,
            summary=f"{objective.title}: the error budget burns too fast",
            description=f"The objective is {percent} over 30 days; now {{{{ $value | humanizePercentage }}}} "
            f"fail. A {severity} comes when the budget burns {windows}. {objective.description}",
        ),
    }


def _burning(objective: Objective, rate: BurnRate) -> str:
    chosen = f'{{slo="{objective.name}"}}'
    limit = f"{rate.factor * objective.allowed_ratio:.6g}"
    events = f"{EVENTS}{rate.long}{chosen} * {_seconds(rate.long)} >= {objective.minimum_events}"
    return f"{ERRORS}{rate.long}{chosen} > {limit} and {ERRORS}{rate.short}{chosen} > {limit} and ({events})"


def _seconds(window: str) -> int:
    return int(window[:-1]) * _SECONDS[window[-1]]
