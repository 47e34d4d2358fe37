"""Shared goals: what marketing and IT promised one another, on one page, with target and trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, render_template

from gateway.studio.desk import Desk
from gateway.studio.goals import MARKETING, OPERATIONS, Goal, OwnFigures
from gateway.studio.roles import Role, needs
from servicekit.errors import UpstreamUnavailable


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("goals", __name__)

    @pages.get("/goals")
    @needs(Role.VIEWER)
    def page() -> str:
        problem = ""
        figures: Mapping[str, list[float]] = {}
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


def _rows(goals: Sequence[Goal], figures: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    for goal in goals:
        past = figures.get(goal.name, [])
        now = past[-1] if past else None
        rows.append(
            {
                "name": goal.name,
                "means": goal.means,
                "now": goal.told(now),
                "known": now is not None,
                "met": None if now is None else now >= goal.target,
                "target": f"≥ {goal.told(goal.target)}",
                "past": past,
            }
        )
    return rows
