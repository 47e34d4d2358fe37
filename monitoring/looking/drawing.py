"""The pictures of the contact sheet: titles, units and legends as large as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from monitoring.looking.contact_sheet import Drawn, Spot, headings
from monitoring.looking.units import worded

# Inches: a column and a line of the dashboard's grid, the margin above, and around what a panel draws.
_COLUMN, _LINE, _TOP = 0.72, 0.4, 0.8
_LEFT, _RIGHT, _TITLE, _LEGEND_LINE, _TIMES = 0.85, 0.14, 0.36, 0.19, 0.26
_COLUMNS = 24
_LETTERS_AN_INCH = 11.5
_MOST_LEGEND_LINES = 5
_PAINT = {"text": "#222222", "red": "#c4162a", "green": "#37872d"}


def draw(panels: Sequence[Drawn], folder: Path) -> list[Path]:
    """→ one PNG a dashboard; an empty panel says so in red."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in sorted({panel.dashboard for panel in panels}):
        own = [panel for panel in panels if panel.dashboard == name]
        height = max(panel.spot.y + panel.spot.height for panel in own) * _LINE + _TOP
        figure = plt.figure(figsize=(_COLUMNS * _COLUMN, height))
        figure.text(0.5, 1 - 0.3 / height, f"Foreword: {name}", fontsize=20, ha="center", va="center")
        for title, y in headings(name):
            figure.text(
                0.012, 1 - (_TOP + (y + 0.5) * _LINE) / height, title, fontsize=15, weight="bold", va="center"
            )
        for panel in own:
            _draw_panel(figure, height, panel)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=86)
        plt.close(figure)
        made.append(path)
    return made


def _draw_panel(figure: Figure, height: float, panel: Drawn) -> None:
    legend = _legend_rows(panel)
    below, left = _TIMES + _LEGEND_LINE * len(legend) + 0.06, _LEFT
    if panel.kind == "stat":
        below, left = 0.1, 2 * _RIGHT
    axis = _axes(figure, height, panel.spot, below, left)
    axis.set_title(panel.title, fontsize=12, loc="left", pad=5)
    if panel.is_empty:
        _in_the_middle(axis, "EMPTY", "#c4162a")
    elif panel.kind == "stat":
        value = panel.lines[0][1].values[-1]
        colour = [paint for start, paint in panel.colours if value >= start][-1]
        _in_the_middle(axis, worded(value, panel.unit, panel.decimals), _PAINT[colour])
    else:
        _lines(axis, panel)
        _write_legend(axis, panel, legend)


def _axes(figure: Figure, height: float, spot: Spot, below: float, left: float) -> Axes:
    wide = _COLUMNS * _COLUMN
    bottom = height - _TOP - (spot.y + spot.height) * _LINE + below
    tall = spot.height * _LINE - below - _TITLE
    return figure.add_axes(
        (
            (spot.x * _COLUMN + left) / wide,
            bottom / height,
            (spot.width * _COLUMN - left - _RIGHT) / wide,
            tall / height,
        )
    )


def _in_the_middle(axis: Axes, text: str, colour: str) -> None:
    axis.text(0.5, 0.5, text, color=colour, fontsize=26, ha="center", va="center", transform=axis.transAxes)
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_color("#cccccc")


def _lines(axis: Axes, panel: Drawn) -> None:
    latest = max(line.times[-1] for _, line in panel.lines)
    heights: dict[float, float] = {}
    tops: list[float] = []
    for number, (_, line) in enumerate(panel.lines):
        minutes = [(at - latest) / 60 for at in line.times]
        values: tuple[float, ...] = line.values
        if panel.stacked:
            under = tuple(heights.get(at, 0.0) for at in line.times)
            values = tuple(
                below + (value if math.isfinite(value) else 0.0)
                for below, value in zip(under, line.values, strict=True)
            )
            heights |= dict(zip(line.times, values, strict=True))
            axis.fill_between(minutes, under, values, color=f"C{number % 10}", alpha=0.3, linewidth=0)
        axis.plot(minutes, values, color=f"C{number % 10}", linewidth=1.4, marker=".", markersize=2)
        tops += [value for value in values if math.isfinite(value)]
    high = max(tops)
    axis.set_ylim(min(0.0, *tops), 1.08 * high if high > 0 else 1.0)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=9)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: worded(value, panel.unit)))
    axis.xaxis.set_major_locator(MaxNLocator(4 if panel.spot.width >= 6 else 2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} min"))


def _legend_rows(panel: Drawn) -> list[list[int]]:
    """→ which lines' names stand in which line below the panel; those that find no room are counted."""
    room = (panel.spot.width * _COLUMN - _LEFT) * _LETTERS_AN_INCH
    rows: list[list[int]] = [[]]
    used = 0.0
    for number, (legend, _) in enumerate(panel.lines):
        needed = len(legend) + 4
        if used + needed > room and rows[-1]:
            if len(rows) == _MOST_LEGEND_LINES:
                break
            rows.append([])
            used = 0.0
        rows[-1].append(number)
        used += needed
    return rows


def _write_legend(axis: Axes, panel: Drawn, rows: list[list[int]]) -> None:
    inches = axis.get_window_extent().height / axis.figure.dpi
    wide = axis.get_window_extent().width / axis.figure.dpi
    for line, row in enumerate(rows):
        at = 0.0
        below = -(_TIMES + _LEGEND_LINE * (line + 0.5)) / inches
        for number in row:
            legend = panel.lines[number][0]
            axis.text(
                at, below, "■", color=f"C{number % 10}", fontsize=9, va="center", transform=axis.transAxes
            )
            axis.text(at + 0.13 / wide, below, legend, fontsize=9, va="center", transform=axis.transAxes)
            at += (len(legend) + 4) / _LETTERS_AN_INCH / wide
    left = len(panel.lines) - sum(len(row) for row in rows)
    if left:
        axis.text(1, 1.03, f"and {left} more", fontsize=9, ha="right", transform=axis.transAxes)
