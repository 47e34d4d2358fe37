"""Signing in and out, and the link with which a person's first password is set."""

from __future__ import annotations

from flask import Blueprint, make_response, render_template, request, session
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from gateway.studio.desk import Desk, go
from gateway.studio.guard import TOKEN, safe_next
from gateway.studio.members import SHORTEST_PASSWORD, User, plain_email
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("sign_in", __name__)
    settings = desk.parts.settings

    @pages.get("/")
    @needs(Role.VIEWER)
    def home() -> Response:
        return go("library.page")

    @pages.get("/sign-in")
    @needs(None)
    def page() -> Response:
        return make_response(_form(""))

    @pages.post("/sign-in")
    @needs(None)
    def sign_in() -> Response:
        email = plain_email(request.form.get("email", ""))[:200]
        desk.throttle.attempt(request.remote_addr or "", email)
        user = desk.people.with_password(email, request.form.get("password", ""))
        if user is None:
            # One sentence for every reason: it must not tell which addresses are known.
            return make_response(_form("This address and password do not go together.", email), 401)
        enter(desk, user)
        return redirect(safe_next(request.form.get("next")), 303)

    @pages.post("/sign-out")
    @needs(Role.VIEWER)
    def sign_out() -> Response:
        desk.sessions.end(session.get(TOKEN, ""), now=desk.clock())
        session.clear()
        return go("sign_in.page", "You are signed out.")

    @pages.get("/setup/<token>")
    @needs(None)
    def setup(token: str) -> str:
        desk.throttle.attempt(request.remote_addr or "", "setup")
        return _setup_form(token, "")

    @pages.post("/setup/<token>")
    @needs(None)
    def accept(token: str) -> Response:
        invitation = desk.people.invitation(token, now=desk.clock())
        form = request.form
        try:
            user = desk.people.accept(
                invitation,
                email=form.get("email", ""),
                name=form.get("name", ""),
                password=form.get("password", ""),
                now=desk.clock(),
            )
        except ForewordError as error:
            return make_response(_setup_form(token, error.detail), error.status)
        enter(desk, user)
        desk.audit.record(
            user,
            "joined",
            ("person", user.user_id),
            f"{user.email} set a password and joined as {user.role.value}",
            now=desk.clock(),
        )
        return go("library.page", f"Welcome, {user.name}.")

    def _setup_form(token: str, problem: str) -> str:
        invitation = desk.people.invitation(token, now=desk.clock())
        return render_template(
            "setup.html",
            invitation=invitation,
            problem=problem,
            form=request.form,
            shortest=SHORTEST_PASSWORD,
            first=desk.people.are_none(),
        )

    def _form(problem: str, email: str = "") -> str:
        return render_template(
            "sign_in.html",
            problem=problem,
            email=email,
            next=request.values.get("next", ""),
            nobody=desk.people.are_none(),
            single_sign_on=settings.oidc_issuer is not None and settings.oidc_client_id is not None,
        )

    return pages


def enter(desk: Desk, user: User) -> None:
    """Begin a session: everything the cookie held before is dropped, so that nothing can be planted in it."""
    session.clear()
    session[TOKEN] = desk.sessions.start(user.user_id, now=desk.clock())
