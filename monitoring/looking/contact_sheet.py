"""Draws every panel of every dashboard from a Prometheus, one page of small pictures for each dashboard."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from monitoring.looking.prometheus import Series, Watching

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
_VARIABLES = {"$namespace": ".*", "$service": ".*", "$pod": ".*", "$__rate_interval": "30s"}
_COLUMNS = 3
_LEGEND_LINES = 6


@dataclass(frozen=True, slots=True)
class Drawn:
    """One panel as it came out."""

    dashboard: str
    title: str
    unit: str
    lines: tuple[tuple[str, Series], ...]

    @property
    def is_empty(self) -> bool:
        return not any(math.isfinite(value) for _, line in self.lines for value in line.values)


def read(watching: Watching, start: float, end: float) -> list[Drawn]:
    """Ask every query of every panel, as Grafana would with all variables at `All`."""
    return [
        _read_panel(watching, path.stem, panel, start, end)
        for path in sorted(DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        if panel["type"] != "row"
    ]


def draw(panels: list[Drawn], folder: Path) -> list[Path]:
    """→ one PNG a dashboard; an empty panel says so in red."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in sorted({panel.dashboard for panel in panels}):
        own = [panel for panel in panels if panel.dashboard == name]
        rows = math.ceil(len(own) / _COLUMNS)
        figure, axes = plt.subplots(rows, _COLUMNS, figsize=(18, 3.1 * rows), squeeze=False)
        for axis, panel in zip(axes.flat, own, strict=False):
            _draw_panel(axis, panel)
        for axis in list(axes.flat)[len(own) :]:
            axis.axis("off")
        figure.suptitle(f"Foreword: {name}", fontsize=14)
        figure.tight_layout(rect=(0, 0, 1, 0.985))
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=75)
        plt.close(figure)
        made.append(path)
    return made


def _read_panel(watching: Watching, name: str, panel: Mapping[str, Any], start: float, end: float) -> Drawn:
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
    return Drawn(name, panel["title"], panel["fieldConfig"]["defaults"]["unit"], tuple(lines))


def _legend(template: str, labels: Mapping[str, str]) -> str:
    if template in ("", "__auto"):
        return ", ".join(f"{k}={v}" for k, v in labels.items() if not k.startswith("__"))
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template)


def _draw_panel(axis: Axes, panel: Drawn) -> None:
    axis.set_title(f"{panel.title} [{panel.unit}]", fontsize=9)
    axis.tick_params(labelsize=7)
    if panel.is_empty:
        axis.text(0.5, 0.5, "EMPTY", color="red", ha="center", va="center", transform=axis.transAxes)
        return
    if all(len(line.values) == 1 for _, line in panel.lines):
        axis.text(
            0.5,
            0.5,
            f"{panel.lines[0][1].values[0]:.4g}",
            fontsize=26,
            ha="center",
            va="center",
            transform=axis.transAxes,
        )
        axis.set_xticks([])
        axis.set_yticks([])
        return
    latest = max(line.times[-1] for _, line in panel.lines)
    for number, (legend, line) in enumerate(panel.lines):
        label = legend if number < _LEGEND_LINES else None
        axis.plot(
            [at - latest for at in line.times],
            line.values,
            linewidth=1,
            label=label,
            marker=".",
            markersize=1.5,
        )
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=6, loc="upper left", framealpha=0.6)
