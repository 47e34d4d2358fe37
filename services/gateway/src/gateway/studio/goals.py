"""The goals that marketing and IT share: what each means, its target, and how its figure is worked out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric

_G, _R = "foreword_gateway_", "foreword_recommender_"
_SECONDS_A_DAY = 86_400.0


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
    unit: str  # "share", "days" or what is counted
    query: str
    counted: Callable[[Counted], float | None]

    def told(self, value: float | None) -> str:
        if value is None:
            return "not known yet"
        if self.unit == "share":
            return f"{value:.1%}" if value < 0.99 or value == 1 else f"{value:.2%}"
        return f"{value:,.0f} {self.unit.removesuffix('s') if value == 1 else self.unit}"


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
        "accounts",
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
