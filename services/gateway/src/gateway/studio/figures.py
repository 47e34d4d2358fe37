"""Where the goals' figures come from.

With a Prometheus, figures and trends are those of all replicas over weeks, by the dashboards' expressions.
Without one they are what this gateway, and the recommender behind it, counted since they started.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from gateway.studio.goals import Counted, Goal
from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient

SUBJECTS = ("accounts", "buyers")
_STAGES = "foreword_recommender_stage_"  # and then what stands at them
# A Prometheus that has just begun has no month behind it: then its last day is shown, or its last hour.
_PERIODS = (
    (timedelta(days=30), timedelta(days=1)),
    (timedelta(days=1), timedelta(minutes=15)),
    (timedelta(hours=1), timedelta(seconds=30)),
)
_POINTS_OF_A_TREND = 3


@dataclass(frozen=True, slots=True)
class Past:
    """A goal's figures, oldest first, the last one now; `period` is how long they reach back, if they do."""

    values: Sequence[float]
    period: timedelta | None = None


class Figures(Protocol):
    """Where figures come from. Raises `UpstreamUnavailable`."""

    def read(self, goals: Iterable[Goal], now: datetime) -> Mapping[str, Past]:
        """Per goal's name its figures; without an entry: not known."""
        ...

    def by_stage(self) -> Mapping[str, Mapping[str, float]]:
        """`accounts` and `buyers` by the stage that they stand at now; empty where that is not known."""
        ...


class PrometheusFigures:
    """A range query a goal, over the last 30 days or as far back as there is anything."""

    def __init__(self, url: str) -> None:
        self._client = ServiceClient("Prometheus", url, timeout_seconds=3.0)

    def read(self, goals: Iterable[Goal], now: datetime) -> Mapping[str, Past]:
        found: dict[str, Past] = {}
        for goal in goals:
            for period, step in _PERIODS:
                values = self._range(goal.query, now, period, step)
                if values:
                    found[goal.name] = Past(values, period if len(values) > 1 else None)
                if len(values) >= _POINTS_OF_A_TREND:
                    break
        return found

    def _range(self, query: str, now: datetime, period: timedelta, step: timedelta) -> list[float]:
        asked = {
            "query": query,
            "start": f"{(now - period).timestamp():.0f}",
            "end": f"{now.timestamp():.0f}",
            "step": f"{step.total_seconds():.0f}",
        }
        answer = self._client.request("GET", f"/api/v1/query_range?{urlencode(asked)}")
        if answer.status != 200:
            raise UpstreamUnavailable("Prometheus does not answer what the goals ask.")
        return _values(answer.json())

    def by_stage(self) -> Mapping[str, Mapping[str, float]]:
        return {subject: self._standing(subject) for subject in SUBJECTS}

    def _standing(self, subject: str) -> Mapping[str, float]:
        asked = urlencode({"query": f"max by (stage) ({_STAGES}{subject})"})
        answer = self._client.request("GET", f"/api/v1/query?{asked}")
        if answer.status != 200:
            raise UpstreamUnavailable("Prometheus does not answer.")
        series = answer.json().get("data", {}).get("result", [])
        return {one["metric"].get("stage", ""): float(one["value"][1]) for one in series}


class OwnFigures:
    """What was counted since the start: by this process, and by the recommender, where that may be read."""

    def __init__(self, registry: CollectorRegistry, recommender_metrics_url: str | None) -> None:
        self._registry = registry
        self._client = (
            None
            if recommender_metrics_url is None
            else ServiceClient("recommender's metrics", recommender_metrics_url, timeout_seconds=2.0)
        )

    def read(self, goals: Iterable[Goal], now: datetime) -> Mapping[str, Past]:  # noqa: ARG002
        counted = self._counted()
        values = {goal.name: goal.counted(counted) for goal in goals}
        return {name: Past([value]) for name, value in values.items() if value is not None}

    def by_stage(self) -> Mapping[str, Mapping[str, float]]:
        counted = self._counted()
        return {subject: counted.split(f"{_STAGES}{subject}", "stage") for subject in SUBJECTS}

    def _counted(self) -> Counted:
        families = list(self._registry.collect())
        if self._client is not None:
            answer = self._client.request("GET", "")
            families += text_string_to_metric_families(answer.body.decode())
        return Counted(families)


def _values(document: Any) -> list[float]:
    series = document.get("data", {}).get("result", [])
    values = [float(value) for _, value in series[0]["values"]] if series else []
    return [value for value in values if not math.isnan(value)]
