"""Draws every panel of every dashboard from a Prometheus: one picture a dashboard, laid out as in Grafana."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.looking.prometheus import Series, Watching

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
_VARIABLES = {"$namespace": ".*", "$service": ".*", "$pod": ".*", "$__rate_interval": "30s"}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a panel or heading stands, in the dashboard's grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """One panel as it came out; the heading of a row has no lines."""

    dashboard: str
    title: str
    kind: str
    spot: Spot
    unit: str
    decimals: int | None
    # (from which value, its colour) of a figure; the first holds below all others.
    colours: tuple[tuple[float, str], ...]
    stacked: bool
    lines: tuple[tuple[str, Series], ...]

    @property
    def is_empty(self) -> bool:
        return not any(math.isfinite(value) for _, line in self.lines for value in line.values)


def panels() -> list[tuple[str, Mapping[str, Any]]]:
    """→ (dashboard, panel as its file has it) of all, without the headings."""
    return [
        (path.stem, panel)
        for path in sorted(DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        if panel["type"] != "row"
    ]


def headings(dashboard: str) -> list[tuple[str, int]]:
    """→ (title, y) of each row of a dashboard."""
    document = json.loads((DASHBOARDS / f"{dashboard}.json").read_text(encoding="utf-8"))
    return [(one["title"], one["gridPos"]["y"]) for one in document["panels"] if one["type"] == "row"]


def read(watching: Watching, name: str, panel: Mapping[str, Any], start: float, end: float) -> Drawn:
    """Ask every query of a panel, as Grafana would with all variables at `All`."""
    lines: list[tuple[str, Series]] = []
    for target in panel["targets"]:
        query = target["expr"]
        for variable, value in _VARIABLES.items():
            query = query.replace(variable, value)
        found = (
            watching.instant(query)
            if target.get("instant")
            else watching.over(query, start, end, max(2.0, (end - start) / 120))
        )
        lines += [(_legend(target.get("legendFormat", ""), one.labels), one) for one in found]
    fields = panel["fieldConfig"]["defaults"]
    spot = panel["gridPos"]
    return Drawn(
        dashboard=name,
        title=panel["title"],
        kind=panel["type"],
        spot=Spot(spot["x"], spot["y"], spot["w"], spot["h"]),
        unit=fields["unit"],
        decimals=fields.get("decimals"),
        colours=_colours(fields.get("thresholds", {}).get("steps", ())),
        stacked="stacking" in fields.get("custom", {}),
        lines=tuple(lines),
    )


def _colours(steps: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, str], ...]:
    return tuple((-math.inf if one["value"] is None else one["value"], one["color"]) for one in steps)


def _legend(template: str, labels: Mapping[str, str]) -> str:
    if template in ("", "__auto"):
        return ", ".join(f"{k}={v}" for k, v in labels.items() if not k.startswith("__"))
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template)
