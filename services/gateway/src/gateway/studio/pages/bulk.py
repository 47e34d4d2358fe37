"""Many assets changed at once: those that are ticked, or all that the library's filters find.

A browser sends them a few at a time, so that its bar can move and its button can stop it; what was changed
by then is closed as one entry of the audit log, which takes all of it back.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, request, url_for
from werkzeug.wrappers import Response

from gateway.studio.desk import Desk, go, is_step, posted_number
from gateway.studio.display import STATUSES
from gateway.studio.editing import BULK_TAGS, Editing, offer_undo, read_tags
from gateway.studio.library_filters import NAMES, asked_for
from gateway.studio.library_search import LibrarySearch
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError, Unprocessable
from servicekit.whole_numbers import natural
from servicekit.wire import json_response

_MOST_AT_ONCE = 200
_MOST_FOUND = 5_000


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("bulk", __name__)
    editing, search = Editing(desk), LibrarySearch(desk)

    @pages.get("/library/found")
    @needs(Role.EDITOR)
    def found() -> Response:
        """All that the filters find, for whoever ticks more than the page that they see."""
        ids, total = search.ids(asked_for(request.args), _MOST_FOUND)
        return json_response({"ids": ids, "total": total})

    @pages.post("/library/bulk")
    @needs(Role.EDITOR)
    def change() -> Response:
        chosen = list(dict.fromkeys(request.form.getlist("id")))
        if not chosen:
            return go("library.page", "Tick at least one asset first.", "problem")
        if len(chosen) > _MOST_AT_ONCE:
            raise Unprocessable(f"Change at most {_MOST_AT_ONCE} assets at once.")
        what = request.form.get("do", "")
        entries, failures = list[int](), list[str]()
        for asset_id in chosen:
            try:
                entry = _change(asset_id, what)
            except ForewordError as error:
                failures.append(f"{asset_id}: {error.detail}")
                continue
            if entry is not None:
                entries.append(entry)
        if is_step():
            return json_response({"entries": entries, "failures": failures})
        return _close(entries, len(chosen), len(chosen) - len(failures), failures)

    @pages.post("/library/bulk/done")
    @needs(Role.EDITOR)
    def done() -> Response:
        """What a browser sends after the last of its steps: the entries that they made."""
        form = request.form
        written = form.get("entries", "").split(",")[:_MOST_FOUND]
        entries = [number for one in written if (number := natural(one)) is not None]
        failures = form.getlist("failure")[:4]
        counted = posted_number("of", _MOST_FOUND), posted_number("changed", _MOST_FOUND)
        return _close(entries, *counted, [text[:300] for text in failures])

    def _close(entries: list[int], chosen: int, changed: int, failures: list[str]) -> Response:
        message = f"{changed:,} of {chosen:,} assets changed."
        if failures:
            message += " Not changed: " + "; ".join(failures[:3]) + ("; …" if len(failures) > 3 else "")
        if entries:
            offer_undo(url_for("audit.undo_many", ids=str(editing.bundle(entries))))
        back: dict[str, Any] = {name: request.form.get(f"back_{name}") or None for name in NAMES}
        if is_step():
            flash(message, "problem" if failures else "done")
            return json_response({"to": url_for("library.page", **back)})
        return go("library.page", message, "problem" if failures else "done", **back)

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

    return pages
