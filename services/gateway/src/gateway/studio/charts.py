"""Charts as SVG, made here: colours come from the style sheet, every chart says in words what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

ALL_STAGES = ("unknown", "awareness", "nurture", "consideration", "decision", "customer", "renewal")
_WIDTH, _HEIGHT = 720, 200
_LEFT, _BOTTOM, _TOP = 66, 26, 8


def stage_track(distribution: Mapping[str, float] | None) -> Markup:
    """One bar cut into stages, as wide as each is likely."""
    if not distribution:
        return Markup('<span class="muted">not estimated</span>')
    total = sum(max(0.0, v) for v in distribution.values()) or 1.0
    parts, x, told = [], 0.0, []
    for name in ALL_STAGES:
        width = max(0.0, distribution.get(name, 0.0)) / total * 100
        if width <= 0:
            continue
        parts.append(f'<rect class="fill-{name}" x="{x:.2f}" y="0" width="{width:.2f}" height="8"/>')
        told.append(f"{name} {width:.0f} %")
        x += width
    label = escape(", ".join(told))
    return Markup(  # noqa: S704 - numbers, and text that is escaped
        f'<svg class="track" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}"><title>{label}</title>{"".join(parts)}</svg>'
    )


def stages_over_time(points: Sequence[tuple[datetime, Mapping[str, float]]]) -> Markup:
    """Stacked columns, one a moment, oldest first; shares of 100 %."""
    if not points:
        return Markup("")
    plot = _HEIGHT - _BOTTOM - _TOP
    step = (_WIDTH - _LEFT) / len(points)
    out = []
    for percent in (0, 50, 100):
        y = _TOP + plot * (1 - percent / 100)
        out.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>'
        )
    for position, (at, distribution) in enumerate(points):
        total = sum(distribution.values()) or 1.0
        x, y = _LEFT + position * step + step * 0.1, float(_TOP + plot)
        for name in ALL_STAGES:
            height = distribution.get(name, 0.0) / total * plot
            if height > 0:
                y -= height
                out.append(
                    f'<rect class="fill-{name}" x="{x:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" '
                    f'height="{height:.1f}"><title>{at:%d %b %Y}: {name} {height / plot:.0%}</title></rect>'
                )
        if position % max(1, len(points) // 6) == 0:
            last = position == len(points) - 1  # centred, it would be cut off at the edge
            every_other = len(points) - 1 - position  # on a phone there is room for half of them
            kind = "axis" if every_other // max(1, len(points) // 6) % 2 == 0 else "axis spare"
            out.append(
                f'<text class="{kind}" x="{x + step * (0.8 if last else 0.4):.1f}" y="{_HEIGHT - 6}" '
                f'text-anchor="{"end" if last else "middle"}">'
                f"{at:%b %Y}</text>"
            )
    first, final = points[0], points[-1]
    label = escape(
        f"Stages from {first[0]:%d %b %Y} ({_top(first[1])}) to {final[0]:%d %b %Y} ({_top(final[1])})"
    )
    return Markup(  # noqa: S704 - numbers, and text that is escaped
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(out)}</svg>"
    )


def bars(rows: Sequence[tuple[str, float]], form: str = ".3g") -> Markup:
    """Labelled bars, the longest as wide as there is room; numbers written as `form` stand beside them."""
    most = max((abs(value) for _, value in rows), default=0.0) or 1.0
    lines = [
        f'<tr><th scope="row">{escape(name)}</th><td class="bar"><svg viewBox="0 0 100 8" '
        f'preserveAspectRatio="none" aria-hidden="true"><rect class="bar-{"minus" if value < 0 else "plus"}" '
        f'x="0" y="0" width="{abs(value) / most * 100:.1f}" height="8"/></svg></td>'
        f'<td class="number">{value:{form}}</td></tr>'
        for name, value in rows
    ]
    return Markup(f'<table class="bars"><tbody>{"".join(lines)}</tbody></table>')  # noqa: S704 - escaped above


def trend(values: Sequence[float], what: str, target: float) -> Markup:
    """A small line over time and, dashed, the target; both in the height that they need."""
    low, high = min(*values, target), max(*values, target)
    spread = (high - low) or 1.0

    def y(value: float) -> float:
        return 26 - (value - low) / spread * 22

    step = 116 / max(1, len(values) - 1)
    points = " ".join(f"{2 + i * step:.1f},{y(v):.1f}" for i, v in enumerate(values))
    label = escape(f"{what}: from {values[0]:.4g} to {values[-1]:.4g}, target {target:.4g}")
    return Markup(  # noqa: S704 - numbers, and text that is escaped
        f'<svg class="trend" viewBox="0 0 120 30" role="img" aria-label="{label}"><title>{label}</title>'
        f'<line class="target" x1="0" x2="120" y1="{y(target):.1f}" y2="{y(target):.1f}"/>'
        f'<polyline points="{points}"/></svg>'
    )


def _top(distribution: Mapping[str, Any]) -> str:
    return max(distribution, key=lambda name: distribution[name]) if distribution else "unknown"
