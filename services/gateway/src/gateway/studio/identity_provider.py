"""The firm's identity provider, as Authlib speaks to it: OpenID Connect with PKCE, state and nonce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import OAuth
from flask import Flask
from joserfc.errors import JoseError
from requests import RequestException
from werkzeug.wrappers import Response

from gateway.settings import GatewaySettings
from servicekit import logs
from servicekit.errors import Unauthenticated, UpstreamUnavailable

_NAME = "organisation"


class IdentityProvider:
    """Its addresses and keys are asked for at the first sign-in, and kept."""

    def __init__(self, app: Flask, settings: GatewaySettings) -> None:
        secret = settings.oidc_client_secret
        registry = OAuth(app)
        registry.register(
            _NAME,
            client_id=settings.oidc_client_id,
            client_secret=None if secret is None else secret.get_secret_value(),
            server_metadata_url=f"{settings.oidc_issuer}".rstrip("/") + "/.well-known/openid-configuration",
            client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256", "timeout": 10},
        )
        self._client = registry.create_client(_NAME)
        self._log = logs.get("gateway")

    def send_there(self, back: str) -> Response:
        """Raises `UpstreamUnavailable`."""
        try:
            found: Response = self._client.authorize_redirect(back)
        except (AuthlibBaseError, RequestException, ValueError) as error:
            self._log.warning("identity_provider_away", error=type(error).__name__)
            raise UpstreamUnavailable(
                "Your organisation's sign-in does not answer. Try again shortly."
            ) from error
        return found

    def claims(self) -> Mapping[str, Any]:
        """What it says of whom it has just sent back. Raises `Unauthenticated` when that does not hold."""
        try:
            token = self._client.authorize_access_token()
        except (AuthlibBaseError, JoseError, RequestException, ValueError) as error:
            # Why is for the log: the sentence must not help who forges an answer.
            self._log.warning("identity_provider_refused", error=type(error).__name__)
            raise Unauthenticated("That did not work. Begin again.") from error
        return dict(token.get("userinfo") or {})
