"""The audit log: read, exported, and the changes in it taken back."""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from gateway.studio.desk import Desk, is_step, posted_number
from gateway.studio.editing import Editing
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError, Unprocessable
from servicekit.whole_numbers import natural
from servicekit.wire import json_response

_PAGE = 50
_MOST_UNDONE = 200
_A_STEP = 20


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("audit", __name__)
    editing = Editing(desk)

    @pages.get("/audit")
    @needs(Role.OPERATOR)
    def page() -> str:
        text = request.args.get("q", "").strip()[:200]
        before = natural(request.args.get("before", ""))
        entries = desk.audit.page(text=text, before_id=before, limit=_PAGE)
        return render_template("audit.html", entries=entries, q=text, full=len(entries) == _PAGE)

    @pages.get("/audit.csv")
    @needs(Role.OPERATOR)
    def export() -> Response:
        name = f"foreword-audit-{desk.clock():%Y-%m-%d}.csv"
        return Response(
            desk.audit.as_csv(),
            mimetype="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @pages.post("/undo")
    @needs(Role.EDITOR)
    def undo_many() -> AnyResponse:
        """Takes back one change or those that were made together; the role is held for each again."""
        asked = request.values.get("ids", "").split(",")[:_MOST_UNDONE]
        entries = [number for one in reversed(asked) if (number := natural(one)) is not None]
        numbers = [part for entry in entries for part in editing.parts_of(entry)]
        if not numbers:
            raise Unprocessable("There is nothing to take back.")
        if is_step():
            return _step(numbers)
        done, problem = _undo(numbers)
        to = _told(numbers, done, problem)
        return redirect(to, 303)

    def _step(numbers: list[int]) -> AnyResponse:
        """A few of them, and how far that is; after the last the page is told where to go."""
        start, done = posted_number("from", len(numbers)), posted_number("done", len(numbers))
        undone, problem = _undo(numbers[start : start + _A_STEP])
        next_ = min(start + _A_STEP, len(numbers))
        done, problem = done + undone, problem or request.form.get("problem", "")[:300]
        if next_ < len(numbers):
            return json_response({"next": next_, "of": len(numbers), "done": done, "problem": problem})
        return json_response({"to": _told(numbers, done, problem)})

    def _told(numbers: list[int], done: int, problem: str) -> str:
        """What was taken back, for the next page to say. → its address: where the change was made."""
        if problem:
            flash(f"{done:,} of {len(numbers):,} taken back. {problem}", "problem")
            return url_for("library.page")
        if len(numbers) > 1:
            flash(f"{done:,} changes taken back.", "done")
            return url_for("library.page")
        flash("Taken back.", "done")
        entry = desk.audit.find(numbers[0])
        if entry.subject_kind == "person":
            return url_for("people.page")
        page = "placements.one" if entry.subject_kind == "placement" else "asset.page"
        return url_for(page, id=entry.subject_id)

    def _undo(numbers: list[int]) -> tuple[int, str]:
        done, problem = 0, ""
        for number in numbers:
            try:
                editing.undo(number)
                done += 1
            except ForewordError as error:
                problem = error.detail
        return done, problem

    return pages
