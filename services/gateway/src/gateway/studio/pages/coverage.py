"""Coverage: what there is for each stage, persona and topic, what is missing, and what to do about it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk
from gateway.studio.display import STAGES
from gateway.studio.roles import Role, needs

_KINDS = ("persona", "topic")
_MOST_ROWS = 40


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("coverage", __name__)

    @pages.get("/coverage")
    @needs(Role.VIEWER)
    def page() -> str:
        found = desk.catalogue.coverage()
        by = request.args.get("by", "persona")
        by = by if by in _KINDS else "persona"
        rows = heat_rows(found, by)
        return render_template(
            "coverage.html",
            found=found,
            by=by,
            rows=rows[:_MOST_ROWS],
            hidden=max(0, len(rows) - _MOST_ROWS),
            gaps=_gaps(found, by),
            demand_known="unmet" in found,
        )

    @pages.get("/coverage/brief")
    @needs(Role.VIEWER)
    def brief() -> str:
        asked = {name: request.args.get(name, "")[:100] for name in ("stage", "persona", "topic")}
        text = " ".join(v for v in asked.values() if v)
        near = desk.catalogue.search(text, 5) if text else []
        return render_template("brief.html", asked=asked, near=near)

    return pages


def heat_rows(found: Document, by: str) -> list[dict[str, Any]]:
    """One row a persona or topic, one cell a stage, each with a level from 0 (none) to 4 for its colour."""
    cells: dict[str, dict[str, Document]] = {}
    for cell in found["cells"]:
        if cell.get("by") == by:
            cells.setdefault(cell["value"], {})[cell["stage"]] = cell
    most = max((c["assets"] for row in cells.values() for c in row.values()), default=0)
    rows = []
    for value, row in cells.items():
        shown = [
            {"stage": s, "assets": row.get(s, {}).get("assets", 0), "demand": _demand(row.get(s, {})),
             "level": _level(row.get(s, {}).get("assets", 0), most)}
            for s in STAGES
        ]  # fmt: skip
        rows.append({"value": value, "cells": shown, "total": sum(c["assets"] for c in shown)})
    return sorted(rows, key=lambda r: (-r["total"], r["value"]))


def _level(count: int, most: int) -> int:
    if count == 0:
        return 0
    return 1 + min(3, int(4 * count / (most + 1)))


def _demand(cell: Document) -> int:
    """Accounts that got a weak answer there; 0 where the recommender does not tell."""
    return int(cell.get("unmet_accounts") or 0)


def _gaps(found: Document, by: str) -> list[dict[str, Any]]:
    """The emptiest cells that most ask for; where demand is not known, those of the larger rows first."""
    weight = {row["value"]: row["total"] for row in heat_rows(found, by)}
    gaps = [
        {"value": c["value"], "stage": c["stage"], "demand": _demand(c), "weight": weight.get(c["value"], 0)}
        for c in found["cells"]
        if c.get("by") == by and c["assets"] == 0
    ]
    return sorted(gaps, key=lambda g: (-g["demand"], -g["weight"], g["value"]))[:12]
