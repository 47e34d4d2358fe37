"""Placements: the rules of each place where content is shown, a live preview, and what to paste there."""

from __future__ import annotations

from flask import Blueprint, make_response, render_template, request, url_for
from werkzeug.wrappers import Response

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk, actor, go, me
from gateway.studio.display import STAGES
from gateway.studio.editing import offer_undo
from gateway.studio.placement_form import FIELDS, rows_of, rules_of
from gateway.studio.roles import Role, needs
from servicekit.errors import BadRequest, ForewordError, NotFound, PreconditionFailed, Unprocessable

_KINDS = ("boost", "bury", "exclude", "quotas")


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("placements", __name__)

    @pages.get("/placements")
    @needs(Role.VIEWER)
    def page() -> str:
        return render_template("placements.html", placements=desk.catalogue.placements())

    @pages.get("/placement")
    @needs(Role.VIEWER)
    def one() -> str:
        return _page(_id(), _rules(_id()) or {}, "")

    @pages.post("/placement")
    @needs(Role.APPROVER)
    def save() -> Response:
        placement_id = _id()
        before = _rules(placement_id)
        try:
            rules = rules_of(request.form)
            after = desk.catalogue.put_placement(
                placement_id, rules, actor(), request.form.get("version", "")
            )
        except PreconditionFailed:
            told = "Not saved: somebody changed these rules in the meantime. Here they are."
            return make_response(_page(placement_id, before or {}, told), 412)
        except (Unprocessable, BadRequest) as error:
            told = "; ".join(f"{f.pointer.strip('/')}: {f.detail}" for f in error.fields) or error.detail
            return make_response(
                _page(placement_id, {**(before or {}), **_tried()}, f"Not saved. {told}"), 422
            )
        entry = desk.note(
            "placement.changed", ("placement", placement_id), "Rules changed", before=before, after=after
        )
        offer_undo(url_for("audit.undo_many", ids=str(entry)))
        told = " ".join(w["detail"] for w in after.get("warnings") or ())
        return go(
            "placements.one", f"Saved; the next answer follows these rules. {told}".strip(), id=placement_id
        )

    @pages.post("/placement/clear")
    @needs(Role.APPROVER)
    def clear() -> Response:
        placement_id = _id()
        before = _rules(placement_id)
        if before is not None:
            desk.catalogue.delete_placement(placement_id, actor())
            entry = desk.note(
                "placement.cleared", ("placement", placement_id), "All rules taken away", before=before
            )
            offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("placements.page", f"{placement_id} has no rules of its own any more.")

    def _tried() -> Document:
        try:
            return rules_of(request.form)
        except Unprocessable:
            return {}

    @pages.post("/placement/preview")
    @needs(Role.VIEWER)
    def preview() -> str:
        """What a buyer would see here under the rules in the form, which need not be saved yet."""
        asked: Document = {"count": 5, "explain": "summary", "placement": _id()}
        who = request.form.get("who", "").strip()
        if who and me().role.may(Role.EDITOR):
            asked["user_id"] = who
        stage = request.form.get("stage", "")
        if stage in STAGES:
            asked["filter"] = {"must": [{"field": "stage", "any_of": [stage]}]}
        try:
            answer, problem = desk.catalogue.try_placement(rules_of(request.form), asked), ""
        except ForewordError as error:
            answer, problem = {}, error.detail
        return render_template("placement_preview.html", answer=answer, problem=problem)

    def _rules(placement_id: str) -> Document | None:
        try:
            return desk.catalogue.placement(placement_id)
        except NotFound:
            return None

    def _page(placement_id: str, rules: Document, problem: str) -> str:
        base = (desk.parts.settings.public_url or request.host_url).rstrip("/")
        return render_template(
            "placement.html",
            id=placement_id,
            rules=rules,
            rows={kind: rows_of(rules, kind) for kind in _KINDS},
            fields=FIELDS,
            problem=problem,
            base=base,
            history=desk.audit.of("placement", placement_id),
            may_edit=me().role.may(Role.APPROVER),
        )

    return pages


def _id() -> str:
    found = request.values.get("id", "").strip()
    if not found:
        raise NotFound("This address names no placement.")
    return found
