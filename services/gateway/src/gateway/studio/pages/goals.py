"""Shared goals: what marketing and IT promised one another, on one page, with target and trend."""

from __future__ import annotations

from flask import Blueprint, render_template

from gateway.studio.desk import Desk
from gateway.studio.roles import Role, needs


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("goals", __name__)

    @pages.get("/goals")
    @needs(Role.VIEWER)
    def page() -> str:
        return render_template("goals.html", marketing=[], operations=[], now=desk.clock())

    return pages
