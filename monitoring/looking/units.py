"""Numbers as Grafana words them by a panel's unit, so that the sheet reads as the dashboard will."""

from __future__ import annotations

import math

_SPANS = ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "hours"), (86_400.0, "days"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_SHORT = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_RATES = {"reqps": " req/s", "cps": " c/s"}


def worded(value: float, unit: str, decimals: int | None = None) -> str:
    """`decimals` is the panel's; without it three figures are given."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{_number(100 * value, decimals)}%"
    if unit == "s":
        return _span(value, decimals)
    if unit == "bytes":
        power = min(int(math.log(value, 1024)) if value >= 1 else 0, len(_SIZES) - 1)
        return f"{_number(value / 1024**power, decimals)} {_SIZES[power]}"
    after = unit.removeprefix("suffix:") if unit.startswith("suffix:") else _RATES.get(unit, "")
    for size, word in _SHORT:
        if abs(value) >= size:
            return f"{_number(value / size, None)}{word}{after}"
    return f"{_number(value, decimals)}{after}"


def _span(seconds: float, decimals: int | None) -> str:
    if seconds == 0:
        return "0 s"
    size, word = max((one for one in _SPANS if abs(seconds) >= one[0]), default=_SPANS[0])
    return f"{_number(seconds / size, decimals)} {word}"


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
