"""Shared goals: what marketing and IT promised one another, on one page, with target and trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import Blueprint, render_template

from gateway.studio.desk import Desk
from gateway.studio.figures import OwnFigures, Past
from gateway.studio.goals import MARKETING, OPERATIONS, Goal
from gateway.studio.roles import Role, needs
from servicekit.errors import UpstreamUnavailable


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("goals", __name__)

    @pages.get("/goals")
    @needs(Role.VIEWER)
    def page() -> str:
        problem = ""
        figures: Mapping[str, Past] = {}
        try:
            figures = desk.figures.read((*MARKETING, *OPERATIONS), desk.clock())
        except UpstreamUnavailable as error:
            problem = error.detail
        return render_template(
            "goals.html",
            marketing=_rows(MARKETING, figures),
            operations=_rows(OPERATIONS, figures),
            since_start=isinstance(desk.figures, OwnFigures),
            problem=problem,
            now=desk.clock(),
        )

    return pages


def _rows(goals: Sequence[Goal], figures: Mapping[str, Past]) -> list[dict[str, Any]]:
    rows = []
    for goal in goals:
        past = figures.get(goal.name, Past(()))
        now = past.values[-1] if past.values else None
        rows.append(
            {
                "name": goal.name,
                "means": goal.means,
                "now": goal.told(now),
                "known": now is not None,
                "met": None if now is None else now >= goal.target,
                "target": f"≥ {goal.told(goal.target)}",
                "target_value": goal.target,
                "past": past.values if past.period is not None else (),
                "before": goal.told(past.values[0]) if past.values else "",
                "period": _in_words(past.period),
            }
        )
    return rows


def _in_words(period: timedelta | None) -> str:
    if period is None:
        return ""
    if period >= timedelta(days=2):
        return f"{period.days} days ago"
    return "a day ago" if period >= timedelta(days=1) else "an hour ago"
