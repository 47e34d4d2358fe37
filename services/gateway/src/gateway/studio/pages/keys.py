"""Keys: issued, shown once, and revoked."""

from __future__ import annotations

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from gateway.keys import SCOPES
from gateway.studio.desk import Desk, go
from gateway.studio.placement_form import lines
from gateway.studio.roles import Role, needs
from servicekit.errors import Unprocessable


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("keys", __name__)

    @pages.get("/keys")
    @needs(Role.OPERATOR)
    def page() -> str:
        return _page()

    @pages.post("/keys")
    @needs(Role.OPERATOR)
    def issue() -> Response:
        form = request.form
        kind = form.get("kind", "secret")
        try:
            text, key = desk.keys.issue(
                kind,
                name=form.get("name", "")[:200],
                scopes=form.getlist("scope") if kind == "secret" else [],
                origins=lines(form.get("origins", "")) if kind == "publishable" else [],
                now=desk.clock(),
            )
        except Unprocessable as error:
            return make_response(_page(problem=error.detail), 422)
        desk.note("key.issued", ("key", key.key_id), f"Issued the {key.kind.value} key “{key.name}”")
        # Shown in the answer itself: a redirect would have to keep the key somewhere.
        return make_response(_page(made=text, name=key.name))

    @pages.post("/keys/revoke")
    @needs(Role.OPERATOR)
    def revoke() -> Response:
        key = desk.keys.revoke(request.form.get("id", ""), now=desk.clock())
        desk.note("key.revoked", ("key", key.key_id), f"Revoked the key “{key.name}”")
        return go("keys.page", f"“{key.name}” is revoked; every gateway refuses it within two seconds.")

    def _page(problem: str = "", made: str = "", name: str = "") -> str:
        return render_template(
            "keys.html", scopes=SCOPES,
            keys=sorted(desk.keys.all(), key=lambda k: (k.revoked_at is not None, k.name)),
            problem=problem, made=made, name=name, form=request.form if problem else {},
        )  # fmt: skip

    return pages
