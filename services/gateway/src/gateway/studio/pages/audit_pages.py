"""The audit log: read, exported, and the changes in it taken back."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from gateway.studio.desk import Desk, go
from gateway.studio.editing import Editing
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError, Unprocessable

_PAGE = 50


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("audit", __name__)
    editing = Editing(desk)

    @pages.get("/audit")
    @needs(Role.OPERATOR)
    def page() -> str:
        text = request.args.get("q", "").strip()[:200]
        before = request.args.get("before", "")
        entries = desk.audit.page(text=text, before_id=int(before) if before.isdigit() else None, limit=_PAGE)
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
        """Takes back one change or several that were made together; the role is held for each again."""
        numbers = [int(n) for n in request.values.get("ids", "").split(",") if n.isdigit()][:200]
        if not numbers:
            raise Unprocessable("There is nothing to take back.")
        done, problem = 0, ""
        for number in reversed(numbers):
            try:
                editing.undo(number)
                done += 1
            except ForewordError as error:
                problem = error.detail
        if problem:
            return go("library.page", f"{done} of {len(numbers)} taken back. {problem}", "problem")
        entry = desk.audit.find(numbers[0])
        if len(numbers) == 1:
            if entry.subject_kind == "person":
                return go("people.page", "Taken back.")
            to = "placements.one" if entry.subject_kind == "placement" else "asset.page"
            return go(to, "Taken back.", id=entry.subject_id)
        return go("library.page", f"{done} changes taken back.")

    return pages
