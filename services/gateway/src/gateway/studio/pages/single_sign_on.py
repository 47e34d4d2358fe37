"""Signing in with the firm's own identity provider, by OpenID Connect; only there when it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Flask, current_app, request, session, url_for
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from gateway.studio.desk import Desk, go
from gateway.studio.guard import safe_next
from gateway.studio.pages.sign_in import enter
from gateway.studio.roles import needs
from servicekit.errors import ForewordError, NotFound

if TYPE_CHECKING:
    from gateway.studio.identity_provider import IdentityProvider

_NEXT = "single_sign_on_next"
_KEPT = "identity_provider"


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("single_sign_on", __name__)
    settings = desk.parts.settings

    def provider() -> IdentityProvider:
        if settings.oidc_issuer is None or settings.oidc_client_id is None:
            raise NotFound("Single sign-on is not set up here.")
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        if _KEPT not in app.extensions:
            # Here and not above: its libraries would make every start of the gateway slower, used or not.
            from gateway.studio.identity_provider import IdentityProvider

            app.extensions[_KEPT] = IdentityProvider(app, settings)
        found: IdentityProvider = app.extensions[_KEPT]
        return found

    def back_address() -> str:
        if settings.public_url is None:
            return url_for("single_sign_on.back", _external=True)
        return settings.public_url.rstrip("/") + url_for("single_sign_on.back")

    @pages.get("/single-sign-on")
    @needs(None)
    def begin() -> Response:
        asked = provider()
        session[_NEXT] = safe_next(request.args.get("next"))
        try:
            return asked.send_there(back_address())
        except ForewordError as error:
            return go("sign_in.page", error.detail)

    @pages.get("/single-sign-on/back")
    @needs(None)
    def back() -> Response:
        asked = provider()
        try:
            claims = asked.claims()
            email = str(claims.get("email") or "")
            if not email or claims.get("email_verified") is False:
                return go("sign_in.page", "Your organisation does not vouch for your e-mail address.")
            to = safe_next(session.get(_NEXT))
            name = str(claims.get("name") or "")
            user = desk.people.from_provider(email=email, name=name, now=desk.clock())
        except ForewordError as error:
            return go("sign_in.page", error.detail)
        enter(desk, user)
        return redirect(to, 303)

    return pages
