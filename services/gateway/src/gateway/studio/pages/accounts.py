"""Accounts: where each stands on the way, who is active, and what their interest turns to."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from gateway.studio.charts import ALL_STAGES
from gateway.studio.desk import Desk, is_fragment
from gateway.studio.roles import Role, needs

_PAGE = 25
# How a column is read first: the newest, the largest, the furthest; names from A to Z.
_SORTS = {"last": "desc", "people": "desc", "stage": "desc", "surging": "desc", "name": "asc"}
_ORDERS = ("asc", "desc")


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("accounts", __name__)

    @pages.get("/accounts")
    @needs(Role.EDITOR)
    def page() -> str:
        asked = _asked()
        query: dict[str, str | int] = {"page_size": _PAGE, **{k: v for k, v in asked.items() if v}}
        token = request.args.get("page_token", "")
        if token:
            query["page_token"] = token
        found = desk.catalogue.accounts(**query)
        return render_template(
            "accounts_rows.html" if is_fragment() else "accounts.html",
            asked=asked,
            found=found,
            stages=[name for name in ALL_STAGES if name in found["by_stage"] or name == asked["stage"]],
            in_all=sum(found["by_stage"].values()),
            first_orders=_SORTS,
            is_later=bool(token),
        )

    return pages


def _asked() -> dict[str, Any]:
    """What the address asks for, without what nobody offers."""
    sort = request.args.get("sort", "last")
    sort = sort if sort in _SORTS else "last"
    order = request.args.get("order", "")
    stage = request.args.get("stage", "")
    return {
        "q": request.args.get("q", "").strip()[:200].replace("\x00", ""),
        "stage": stage if stage in ALL_STAGES else "",
        "surging": "true" if request.args.get("surging") else "",
        "sort": sort,
        "order": order if order in _ORDERS else _SORTS[sort],
    }
