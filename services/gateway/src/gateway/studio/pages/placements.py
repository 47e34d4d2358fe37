"""Placements: the rules of each place where content is shown, a live preview, and what to paste there."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk, go, me
from gateway.studio.placement_form import rules_of
from gateway.studio.roles import Role, needs
from servicekit.errors import BadRequest, ForewordError, NotFound, Unprocessable


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("placements", __name__)

    @pages.get("/placements")
    @needs(Role.VIEWER)
    def page() -> str:
        return render_template("placements.html", placements=desk.catalogue.placements())

    @pages.get("/placement")
    @needs(Role.VIEWER)
    def one() -> str:
        return _page(_id(), None, "")

    @pages.post("/placement")
    @needs(Role.APPROVER)
    def save() -> Response | tuple[str, int]:
        placement_id = _id()
        before = _rules(placement_id)
        try:
            after = desk.catalogue.put_placement(placement_id, rules_of(request.form))
        except (Unprocessable, BadRequest) as error:
            told = "; ".join(f"{f.pointer.strip('/')}: {f.detail}" for f in error.fields) or error.detail
            return _page(placement_id, request.form, told), 422
        desk.note(
            "placement.changed", ("placement", placement_id), "Rules changed", before=before, after=after
        )
        return go("placements.one", "Saved. The next answer follows these rules.", id=placement_id)

    @pages.get("/placement/preview")
    @needs(Role.VIEWER)
    def preview() -> str:
        """What a buyer would see here now; who is asked for matters only to those who may see buyers."""
        asked: Document = {"placement": _id(), "count": 5, "explain": "summary"}
        who = request.args.get("who", "").strip()
        if who and me().role.may(Role.EDITOR):
            asked["user_id"] = who
        stage = request.args.get("stage", "")
        if stage:
            asked["filter"] = {"must": [{"field": "stage", "any_of": [stage]}]}
        try:
            answer, problem = desk.catalogue.recommend(asked), ""
        except ForewordError as error:
            answer, problem = {}, error.detail
        return render_template("placement_preview.html", answer=answer, problem=problem, who=who)

    def _rules(placement_id: str) -> Document | None:
        try:
            return desk.catalogue.placement(placement_id)
        except NotFound:
            return None

    def _page(placement_id: str, form: Any, problem: str) -> str:
        base = (desk.parts.settings.public_url or request.host_url).rstrip("/")
        return render_template(
            "placement.html",
            id=placement_id,
            rules=_rules(placement_id) or {},
            form=form,
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
