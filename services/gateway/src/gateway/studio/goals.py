"""The goals that marketing and IT share: what each means, its target, and where its figure comes from.

With a Prometheus, figures and trends are those of all replicas over weeks, by the dashboards' expressions.
Without one they are what this gateway, and the recommender behind it, counted since they started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient

_G, _R = "foreword_gateway_", "foreword_recommender_"
_SECONDS_A_DAY = 86_400.0
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

    def by_stage(self, subject: str) -> Mapping[str, float]:
        """`accounts` or `buyers` by the stage that they stand at now; empty where that is not known."""
        ...


class Counted:
    """Sums over the samples of one moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in families:
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def sum(self, name: str, **labels: str | tuple[str, ...]) -> float:
        """Of the samples whose labels are the given ones; a tuple allows several values."""
        return sum(
            value
            for found, value in self._samples.get(name, ())
            if all(found.get(k) in (v if isinstance(v, tuple) else (v,)) for k, v in labels.items())
        )

    def split(self, name: str, label: str) -> dict[str, float]:
        return {labels.get(label, ""): value for labels, value in self._samples.get(name, ())}

    def share(self, part: float, whole: float) -> float | None:
        return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    means: str
    target: float
    unit: str  # "share", "days" or "count"
    query: str
    counted: Callable[[Counted], float | None]

    def told(self, value: float | None) -> str:
        if value is None:
            return "not known yet"
        if self.unit == "share":
            return f"{value:.1%}" if value < 0.99 or value == 1 else f"{value:.2%}"
        return f"{value:,.0f} days" if self.unit == "days" else f"{value:,.0f}"


def _slo(name: str) -> str:
    return f'1 - max(slo:foreword_errors:ratio_rate30d{{slo="{name}"}})'


def _requests_answered(found: Counted) -> float | None:
    name = f"{_G}http_requests_total"
    whole = found.sum(name)
    return found.share(whole - found.sum(name, status="5xx"), whole)


def _signals_answered(found: Counted) -> float | None:
    name = f"{_G}signals_total"
    whole = found.sum(name)
    return found.share(whole - found.sum(name, outcome="unavailable"), whole)


def _quick(found: Counted) -> float | None:
    name, route = f"{_G}http_request_duration_seconds", "/v1/recommendations"
    return found.share(
        found.sum(f"{name}_bucket", route=route, le="0.1"), found.sum(f"{name}_count", route=route)
    )


def _live_soon(found: Counted) -> float | None:
    name = f"{_R}asset_servable_seconds"
    return found.share(found.sum(f"{name}_bucket", le="10.0"), found.sum(f"{name}_count"))


def _at_full_strength(found: Counted) -> float | None:
    name = f"{_G}recommendations_total"
    return found.share(found.sum(name, degraded="false"), found.sum(name))


def _early(found: Counted) -> float | None:
    name = f"{_R}opportunities"
    return found.share(found.sum(name, recognised="early"), found.sum(name))


def _lead_time(found: Counted) -> float | None:
    value = found.sum(f"{_R}lead_time_median_seconds")
    return value / _SECONDS_A_DAY if value == value and value > 0 else None  # NaN: nobody knows yet


def _covered(found: Counted) -> float | None:
    name = f"{_R}coverage_cells"
    return found.share(found.sum(name, filled="true"), found.sum(name))


def _click_rate(found: Counted) -> float | None:
    return found.share(found.sum(f"{_R}clicks_total"), found.sum(f"{_R}impressions_total"))


def _moves(found: Counted) -> float | None:
    return found.sum(
        f"{_R}stage_moves_total", subject="account", to=("consideration", "decision", "customer")
    )


_MOVED_ON = f'{_R}stage_moves_total{{subject="account",to=~"consideration|decision|customer"}}'
MARKETING = (
    Goal(
        "Accounts reached early",
        "Opportunities of the last 180 days whose account was recognised 30 days before",
        0.5,
        "share",
        f'max({_R}opportunities{{recognised="early"}}) / (sum(max by (recognised) ({_R}opportunities)) > 0)',
        _early,
    ),
    Goal(
        "Lead time",
        "Half of them were recognised at least so long before their opportunity",
        30,
        "days",
        f"max({_R}lead_time_median_seconds) / {_SECONDS_A_DAY:.0f}",
        _lead_time,
    ),
    Goal(
        "Coverage",
        "Pairs of stage and persona, or of stage and topic, that have an asset",
        0.8,
        "share",
        f'sum(max by (by) ({_R}coverage_cells{{filled="true"}}))'
        f" / (sum(max by (by, filled) ({_R}coverage_cells)) > 0)",
        _covered,
    ),
    Goal(
        "Click rate",
        "Recommendations that were followed, of those seen",
        0.02,
        "share",
        f"sum(increase({_R}clicks_total[1d])) / (sum(increase({_R}impressions_total[1d])) > 0)",
        _click_rate,
    ),
    Goal(
        "Stage moves",
        "Accounts that moved on to consideration, decision or customer within a day",
        1,
        "count",
        # Every replica gives the same totals, and they outlive it.
        f"sum(max by (from, to) (max_over_time({_MOVED_ON}[1d]))"
        f" - min by (from, to) (min_over_time({_MOVED_ON}[1d])))",
        _moves,
    ),
)
OPERATIONS = (
    Goal(
        "Availability",
        "Requests answered without a server error",
        0.999,
        "share",
        _slo("availability"),
        _requests_answered,
    ),
    Goal("Latency", "Recommendations within 100 ms", 0.99, "share", _slo("recommendation_latency"), _quick),
    Goal(
        "Freshness",
        "Uploads that are live within 10 s",
        0.99,
        "share",
        _slo("upload_to_servable"),
        _live_soon,
    ),
    Goal(
        "Signals kept",
        "Tracking requests that were acknowledged",
        0.999,
        "share",
        _slo("signals_acknowledged"),
        _signals_answered,
    ),
    Goal(
        "Full strength",
        "Recommendations that were not made from a fallback",
        0.99,
        "share",
        _slo("answers_not_degraded"),
        _at_full_strength,
    ),
)


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

    def by_stage(self, subject: str) -> Mapping[str, float]:
        asked = urlencode({"query": f"max by (stage) ({_R}stage_{subject})"})
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

    def by_stage(self, subject: str) -> Mapping[str, float]:
        return self._counted().split(f"{_R}stage_{subject}", "stage")

    def _counted(self) -> Counted:
        families = list(self._registry.collect())
        if self._client is not None:
            answer = self._client.request("GET", "")
            families += text_string_to_metric_families(answer.body.decode())
        return Counted(families)


def _values(document: Any) -> list[float]:
    series = document.get("data", {}).get("result", [])
    values = [float(value) for _, value in series[0]["values"]] if series else []
    return [value for value in values if value == value]
