"""Signing in with the firm's own identity provider, by OpenID Connect; only there when it is set up."""

from __future__ import annotations

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from flask import Blueprint, current_app, request, session, url_for
from joserfc.errors import JoseError
from requests import RequestException
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from gateway.settings import GatewaySettings
from gateway.studio.desk import Desk, go
from gateway.studio.guard import safe_next
from gateway.studio.pages.sign_in import enter
from gateway.studio.roles import needs
from servicekit import logs
from servicekit.errors import ForewordError, NotFound

_NAME = "organisation"
_NEXT = "single_sign_on_next"


def is_set_up(settings: GatewaySettings) -> bool:
    return settings.oidc_issuer is not None and settings.oidc_client_id is not None


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("single_sign_on", __name__)
    settings = desk.parts.settings
    log = logs.get("gateway")

    def client() -> OAuth:
        """Registered with the running application at its first use; the provider is asked only then."""
        if not is_set_up(settings):
            raise NotFound("Single sign-on is not set up here.")
        found = current_app.extensions.get("single_sign_on")
        if found is None:
            found = OAuth(current_app._get_current_object())  # type: ignore[attr-defined]
            secret = settings.oidc_client_secret
            found.register(
                _NAME,
                client_id=settings.oidc_client_id,
                client_secret=None if secret is None else secret.get_secret_value(),
                server_metadata_url=f"{settings.oidc_issuer}".rstrip("/")
                + "/.well-known/openid-configuration",
                client_kwargs={
                    "scope": "openid email profile",
                    "code_challenge_method": "S256",
                    "timeout": 10,
                },
            )
            current_app.extensions["single_sign_on"] = found
        return found

    def back_address() -> str:
        if settings.public_url is None:
            return url_for("single_sign_on.back", _external=True)
        return settings.public_url.rstrip("/") + url_for("single_sign_on.back")

    @pages.get("/single-sign-on")
    @needs(None)
    def begin() -> Response:
        session[_NEXT] = safe_next(request.args.get("next"))
        try:
            found: Response = client().create_client(_NAME).authorize_redirect(back_address())
        except (AuthlibBaseError, RequestException) as error:
            log.warning("single_sign_on_away", error=type(error).__name__)
            return go("sign_in.page", "Your organisation's sign-in does not answer. Try again shortly.")
        return found

    @pages.get("/single-sign-on/back")
    @needs(None)
    def back() -> Response:
        try:
            token = client().create_client(_NAME).authorize_access_token()
        except (AuthlibBaseError, JoseError, RequestException, ValueError) as error:
            # Why is for the log: the sentence must not help who forges an answer.
            log.warning("single_sign_on_refused", error=type(error).__name__)
            return go("sign_in.page", "That did not work. Begin again.")
        claims = token.get("userinfo") or {}
        email = str(claims.get("email") or "")
        if not email or claims.get("email_verified") is False:
            return go("sign_in.page", "Your organisation does not vouch for your e-mail address.")
        to = safe_next(session.get(_NEXT))
        try:
            user = desk.people.from_provider(
                email=email, name=str(claims.get("name") or ""), now=desk.clock()
            )
        except ForewordError as error:
            return go("sign_in.page", error.detail)
        enter(desk, user)
        return redirect(to, 303)

    return pages
