"""The library: every asset, found by words or by meaning, filtered, and changed many at a time."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from gateway.studio.desk import Desk, go, is_fragment
from gateway.studio.display import STATUSES
from gateway.studio.editing import BULK_TAGS, Editing, offer_undo, read_tags
from gateway.studio.library_filters import (
    MOST_CHOICES,
    NAMES,
    TAGS,
    asked_for,
    choices,
    filter_of,
    narrows,
)
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError, NotFound, Unprocessable

_PAGE = 25
_FOUND_BY_MEANING = 20
_MOST_AT_ONCE = 200


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("library", __name__)
    editing = Editing(desk)

    @pages.get("/library")
    @needs(Role.VIEWER)
    def page() -> str:
        asked = asked_for(request.args)
        shown = _found(asked, request.args.get("page_token", ""))
        if is_fragment():
            return render_template("library_rows.html", asked=asked, narrowed=narrows(asked), **shown)
        return render_template(
            "library.html",
            asked=asked,
            narrowed=narrows(asked),
            choices=choices(desk.catalogue.tags(MOST_CHOICES), asked),
            tag_fields=TAGS,
            **shown,
        )

    @pages.post("/library/bulk")
    @needs(Role.EDITOR)
    def bulk() -> Response:
        chosen = list(dict.fromkeys(request.form.getlist("id")))
        if not chosen:
            return go("library.page", "Tick at least one asset first.", "problem")
        if len(chosen) > _MOST_AT_ONCE:
            raise Unprocessable(f"Change at most {_MOST_AT_ONCE} assets at once.")
        what = request.form.get("do", "")
        done, entries, failures = 0, [], []
        for asset_id in chosen:
            try:
                entry = _change(asset_id, what)
            except ForewordError as error:
                failures.append(f"{asset_id}: {error.detail}")
                continue
            done += 1
            if entry is not None:
                entries.append(entry)
        message = f"{done} of {len(chosen)} assets changed."
        if failures:
            message += " Not changed: " + "; ".join(failures[:3]) + ("; …" if len(failures) > 3 else "")
        back = {name: request.form.get(f"back_{name}", "") for name in NAMES}
        undo = url_for("audit.undo_many", ids=",".join(map(str, entries))) if entries else ""
        offer_undo(undo)
        return go(
            "library.page", message, "problem" if failures else "done", **{k: v for k, v in back.items() if v}
        )

    def _change(asset_id: str, what: str) -> int | None:
        if what in STATUSES:
            return editing.set_status(asset_id, what)
        value = request.form.get("value", "").strip()
        if what in BULK_TAGS:
            return editing.add_tags(asset_id, what, read_tags(value))
        if what.removeprefix("without_") in BULK_TAGS:
            return editing.take_tags(asset_id, what.removeprefix("without_"), read_tags(value))
        if what in ("type", "language"):
            if not value:
                raise Unprocessable(f"Write the {what} that they should have.")
            return editing.change(asset_id, {what: value}, "Changed")
        if what in ("publish_at", "expires_at"):
            return editing.change(
                asset_id, {what: editing.read_moment(request.form.get("moment", ""))}, "Dates set"
            )
        raise Unprocessable("Choose what to do with the ticked assets.")

    def _found(asked: dict[str, str], token: str) -> dict[str, Any]:
        if asked["q"] and asked["by"] == "meaning":
            return _by_meaning(asked)
        query: dict[str, str | int] = {"page_size": _PAGE}
        if asked["q"]:
            query["q"] = asked["q"]
        if asked["status"] in STATUSES:
            query["status"] = asked["status"]
        if token:
            query["page_token"] = token
        found = desk.catalogue.library(filter_of(asked, desk.clock()), **query)
        return {
            "assets": found["assets"],
            "total": found["total"],
            "next_token": found["next_page_token"],
            "more": bool(token),
        }

    def _by_meaning(asked: dict[str, str]) -> dict[str, Any]:
        """The nearest of what is live: the search is the one that buyers' pages use."""
        hits = desk.catalogue.search(asked["q"][:500], _FOUND_BY_MEANING, filter_of(asked, desk.clock()))
        assets = []
        for hit in hits:
            try:
                assets.append(desk.catalogue.asset(hit["id"]))
            except NotFound:
                continue  # deleted since it was found
        return {"assets": assets, "total": len(assets), "next_token": None, "more": False}

    return pages
