"""The catalogue of metrics, read out of the services' own definitions, and `docs/metrics.md` made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from embedder.meters import Meters
from gateway.metrics import GatewayMetrics
from monitoring.outside import OUTSIDE
from recommender.service.meters import RecommenderMeters
from servicekit.metrics import Definition, Label, Metrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
_METERS: Mapping[str, Callable[[Metrics], object]] = {
    "gateway": GatewayMetrics.create,
    "recommender": RecommenderMeters,
    "embedder": Meters,
}
_UNITS = {
    "seconds": "s",
    "bytes": "bytes",
    "ratio": "0 to 1",
    "info": "always 1",
    "number": "number",
    "up": "0 or 1",
    "flight": "requests",
    "limited": "requests",
    "refused": "requests",
    "empty": "answers",
    "active": "keys",
    "disabled": "endpoints",
    "use": "connections",
    "limit": "connections",
}
_SERIES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_INTRODUCTION = (
    "Each service gives these on its metrics port, as Prometheus text or, if asked, OpenMetrics with trace",
    "ids as exemplars on the time of requests. Labels are bounded: none holds an id, address or free text.",
    "Beside these stand the usual `process_…` metrics. Counters begin at 0 with the process; Prometheus sees",
    "a restart. Where a label's values are all known, each stands at 0 from the start.",
)


def definitions() -> dict[str, tuple[Definition, ...]]:
    """→ service → what it defines; nothing is started and nothing is connected to."""
    found = {}
    for service, build in _METERS.items():
        metrics = Metrics.create(service, "0")
        build(metrics)
        found[service] = tuple(metrics.definitions)
    return found


def series() -> dict[str, frozenset[str]]:
    """→ name of each series, ours and others' → its own labels."""
    found = {name: labels for name, (_, _, labels) in OUTSIDE.items()}
    for ours in definitions().values():
        for one in ours:
            labels = frozenset(label.name for label in one.labels)
            for suffix in _SERIES[one.kind]:
                found[one.name + suffix] = labels | ({"le"} if suffix == "_bucket" else frozenset())
    return found


def page() -> str:
    """`docs/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `make monitoring` from the services' definitions; change those, not this file. -->",
        "",
        *_INTRODUCTION,
        "",
    ]
    for service, ours in definitions().items():
        lines += [f"## {service.capitalize()}", "", *_table(ours), ""]
    lines += [
        "## From others",
        "Rules and dashboards read these besides.",
        "",
        "| name | from | labels | meaning |",
        "|---|---|---|---|",
    ]
    for name, (source, text, labels) in OUTSIDE.items():
        lines.append(f"| `{name}` | {source} | {', '.join(sorted(labels)) or '–'} | {text} |")
    return "\n".join(lines) + "\n"


def _table(ours: tuple[Definition, ...]) -> list[str]:
    lines = ["| name | type | unit | labels | meaning | for |", "|---|---|---|---|---|---|"]
    for one in ours:
        labels = "; ".join(_label(label) for label in one.labels) or "–"
        meaning = one.help + _bounds(one)
        lines.append(f"| `{one.name}` | {one.kind} | {_unit(one)} | {labels} | {meaning} | {one.needed_by} |")
    return lines


def _label(label: Label) -> str:
    if not label.values:
        return f"`{label.name}`: {label.bound}" if label.bound else f"`{label.name}`"
    return f"`{label.name}`: {', '.join(label.values)}"


def _bounds(one: Definition) -> str:
    return f" Bounds: {', '.join(f'{bound:g}' for bound in one.buckets)}." if one.buckets else ""


def _unit(one: Definition) -> str:
    """The last word of the name says it; of a counter, the word before `total`."""
    words = one.name.removesuffix("_total").split("_")
    return _UNITS.get(words[-1], words[-1])
