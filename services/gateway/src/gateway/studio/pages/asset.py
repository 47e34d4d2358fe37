"""One asset: what it says, where it stands, how it fares, and why it is or is not shown."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from werkzeug.wrappers import Response

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk, go, is_fragment, me
from gateway.studio.display import STAGES, STATUSES
from gateway.studio.editing import Editing, fields_of, offer_undo
from gateway.studio.roles import Role, needs
from servicekit.errors import BadRequest, Conflict, ForewordError, NotFound, PreconditionFailed, Unprocessable

_TOO_LATE = (
    "Somebody changed this asset while you were editing. Your text is still here; look at theirs first."
)
_SAID = {
    "approved": "Approved: buyers can see it now.",
    "draft": "It is a draft again; buyers do not see it.",
    "archived": "Archived; buyers do not see it any more.",
}


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("asset", __name__)
    editing = Editing(desk)

    @pages.get("/asset")
    @needs(Role.VIEWER)
    def page() -> str:
        return _page(desk.catalogue.asset(_id()), None, "")

    @pages.post("/asset")
    @needs(Role.EDITOR)
    def save() -> Response:
        asset_id = _id()
        asset = desk.catalogue.asset(asset_id)
        try:
            changes = fields_of(request.form)
            if request.form.get("then") == "approve":
                changes["status"] = "approved"
            entry = editing.change(asset_id, changes, "Edited", revision=request.form.get("revision") or None)
        except (Unprocessable, BadRequest, Conflict, PreconditionFailed) as error:
            told = _TOO_LATE if isinstance(error, PreconditionFailed) else _in_words(error)
            if is_fragment():
                return make_response(
                    render_template(
                        "upload_row.html",
                        asset=asset,
                        form=request.form,
                        problem=told,
                        name=request.form.get("name", ""),
                        like=[],
                        warnings=[],
                    )
                )
            return make_response(_page(asset, request.form, told), error.status)
        if is_fragment():
            fresh = desk.catalogue.asset(asset_id)
            return make_response(
                render_template(
                    "upload_row.html",
                    asset=fresh,
                    form=None,
                    problem="",
                    saved=True,
                    name=request.form.get("name", ""),
                    like=[],
                    warnings=[],
                )
            )
        if entry is not None:
            offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("asset.page", "Saved." if entry else "Nothing had changed.", id=asset_id)

    @pages.post("/asset/status")
    @needs(Role.EDITOR)
    def status() -> Response:
        wanted = request.form.get("status", "")
        if wanted not in STATUSES:
            raise Unprocessable("An asset is a draft, approved or archived.")
        entry = editing.set_status(_id(), wanted)
        if entry is not None:
            offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("asset.page", _SAID[wanted], id=_id())

    @pages.post("/asset/stages")
    @needs(Role.EDITOR)
    def stages() -> Response:
        """An editor's word on the stage wins over the model's; no word gives it back to the model."""
        wanted: Document | None = None
        if request.form.get("whose") != "model":
            try:
                given = {name: float(request.form.get(name) or 0) for name in STAGES}
            except ValueError as error:
                raise Unprocessable("A weight is a number, such as 0.5.") from error
            if not any(v > 0 for v in given.values()) or any(not 0 <= v <= 1000 for v in given.values()):
                raise Unprocessable("Give at least one stage a weight above 0.")
            wanted = {name: value for name, value in given.items() if value > 0}
        entry = editing.change(
            _id(), {"stages": wanted}, "Stage overruled" if wanted else "Stage left to the model"
        )
        if entry is not None:
            offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("asset.page", "The stage is yours now." if wanted else "The model decides again.", id=_id())

    @pages.post("/asset/delete")
    @needs(Role.APPROVER)
    def delete() -> Response:
        entry = editing.delete(_id())
        offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("library.page", "Deleted. It is served to nobody any more.")

    @pages.get("/asset/why")
    @needs(Role.EDITOR)
    def why() -> str:
        who = request.args.get("who", "").strip()
        kind = request.args.get("kind", "user_id")
        asked: Document = {"asset_id": _id(), "explain": "full", "count": 5}
        if placement := request.args.get("placement", "").strip():
            asked["placement"] = placement
        if who and kind in ("user_id", "anonymous_id", "account_id"):
            asked[kind] = who
        try:
            told: Document | None = desk.catalogue.explain(asked)
            problem = ""
        except ForewordError as error:
            told, problem = None, error.detail
        return render_template("why.html", told=told, problem=problem, who=who)

    def _page(asset: Document, form: Any, problem: str) -> str:
        asset_id = asset["id"]
        may_see_people = me().role.may(Role.EDITOR)
        insight = _quiet(lambda: desk.catalogue.insight(asset_id, people=may_see_people))
        return render_template(
            "asset.html",
            asset=asset,
            form=form,
            problem=problem,
            history=desk.audit.of("asset", asset_id),
            similar=insight["similar"] if insight and insight.get("similar") else _similar(asset),
            insight=insight,
            equivalent=_quiet(lambda: desk.catalogue.asset(asset["equivalent_to"]))
            if asset.get("equivalent_to")
            else None,
            may_edit=me().role.may(Role.EDITOR),
            may_approve=me().role.may(Role.APPROVER),
        )

    def _similar(asset: Document) -> list[Document]:
        text = f"{asset['title']} {asset.get('summary') or ''}".strip()[:400]
        found = _quiet(lambda: desk.catalogue.search(text, 6)) or []
        return [hit for hit in found if hit["id"] != asset["id"]][:5]

    return pages


def _id() -> str:
    found = request.values.get("id", "")
    if not found:
        raise NotFound("This address names no asset.")
    return found


def _in_words(error: ForewordError) -> str:
    if not error.fields:
        return error.detail
    return " ".join(
        f"{f.pointer.strip('/').split('/')[0].replace('_', ' ').capitalize()}: {f.detail}."
        for f in error.fields
    )


def _quiet(ask: Any) -> Any:
    """A part of a page that may be missing without the page being missed."""
    try:
        return ask()
    except ForewordError:
        return None
