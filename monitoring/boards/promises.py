"""How each objective was kept over 30 days, as the boards of both sides show it."""

from __future__ import annotations

from collections.abc import Iterable

from monitoring.burn_rates import ERRORS
from monitoring.objectives import Objective
from monitoring.panels import Panel, Query, figure
from monitoring.queries import NS

_WIDTHS = (5, 5, 5, 5, 4)


def promises(objectives: Iterable[Objective], called: str, *, decimals: int) -> list[Panel]:
    """A row of figures; `called` says what the board's readers call an objective."""
    return [
        figure(
            one.title,
            f"{called} {one.objective * 100:g}% over 30 days. {one.description}",
            "percentunit",
            Query(f'1 - max({ERRORS}30d{{{NS},slo="{one.name}"}})'),
            width=width,
            decimals=decimals,
            good_from=one.objective,
        )
        for one, width in zip(objectives, _WIDTHS, strict=True)
    ]
