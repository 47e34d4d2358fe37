"""People: who may work here, with which role, and the links that invite them."""

from __future__ import annotations

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from gateway.studio.desk import Desk, go
from gateway.studio.editing import offer_undo
from gateway.studio.members import valid_email
from gateway.studio.roles import Role, needs
from servicekit.errors import Unprocessable


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("people", __name__)

    @pages.get("/people")
    @needs(Role.OPERATOR)
    def page() -> str:
        return _page("")

    @pages.post("/people/invite")
    @needs(Role.OPERATOR)
    def invite() -> str | Response:
        role, email = _role(), request.form.get("email", "")
        try:
            address = valid_email(email)
        except Unprocessable as error:
            return go("people.page", error.detail, "problem")
        token = desk.people.invite(role, email=address, now=desk.clock())
        desk.note("person.invited", ("person", address), f"Invited {address} as {role.value}")
        base = (desk.parts.settings.public_url or request.host_url).rstrip("/")
        return _page(base + url_for("sign_in.setup", token=token), address)

    @pages.post("/people/role")
    @needs(Role.OPERATOR)
    def role() -> Response:
        wanted, user = _role(), desk.people.find(request.form.get("id", ""))
        desk.people.set_role(user.user_id, wanted)
        entry = desk.note(
            "person.role", ("person", user.user_id), f"{user.email} is {wanted.value} now",
            before={"role": user.role.value}, after={"role": wanted.value},
        )  # fmt: skip
        if wanted is not user.role:
            offer_undo(url_for("audit.undo_many", ids=str(entry)))
        return go("people.page", f"{user.name} is {wanted.value} now.")

    @pages.post("/people/switch")
    @needs(Role.OPERATOR)
    def switch() -> Response:
        user = desk.people.find(request.form.get("id", ""))
        if request.form.get("to") == "on":
            desk.people.enable(user.user_id)
            desk.note("person.enabled", ("person", user.user_id), f"{user.email} may sign in again")
            return go("people.page", f"{user.name} may sign in again.")
        desk.people.disable(user.user_id, now=desk.clock())
        desk.note("person.disabled", ("person", user.user_id), f"{user.email} may not sign in any more")
        return go("people.page", f"{user.name} is signed out everywhere and may not sign in any more.")

    def _page(link: str, invited: str = "") -> str:
        return render_template(
            "people.html", people=desk.people.all(), roles=list(Role), link=link, invited=invited
        )

    return pages


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError as error:
        raise Unprocessable("Choose a role.") from error
