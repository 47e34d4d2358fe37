"""A small OpenID Connect provider on a real socket: it signs what it is told to say about whoever comes."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey


@dataclass
class Provider:
    """What it will say, and what it was asked."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    other_key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    claims: dict[str, Any] = field(default_factory=dict)
    forge: bool = False  # sign with a key that nobody published
    nonce: str = ""
    challenge: str = ""


def make_app(state: Provider) -> Flask:
    app = Flask("identity_provider", static_folder=None)

    @app.get("/.well-known/openid-configuration")
    def configuration() -> Response:
        return jsonify(
            issuer=state.url,
            authorization_endpoint=f"{state.url}/authorize",
            token_endpoint=f"{state.url}/token",
            jwks_uri=f"{state.url}/keys",
            id_token_signing_alg_values_supported=["RS256"],
        )

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(keys=[state.key.as_dict(private=False)])

    @app.get("/authorize")
    def authorize() -> Any:
        state.nonce, state.challenge = request.args["nonce"], request.args["code_challenge"]
        answer = urlencode({"code": "a-code", "state": request.args["state"]})
        return redirect(f"{request.args['redirect_uri']}?{answer}")

    @app.post("/token")
    def token() -> Response:
        digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
        assert urlsafe_b64encode(digest).decode().rstrip("=") == state.challenge
        now = int(time.time())
        claims = {
            "iss": state.url,
            "aud": "studio",
            "sub": "1",
            "iat": now,
            "exp": now + 60,
            "nonce": state.nonce,
        }
        signed = jwt.encode(
            {"alg": "RS256", "kid": "one"},
            {**claims, **state.claims},
            state.other_key if state.forge else state.key,
        )
        return jsonify(access_token="x", token_type="Bearer", expires_in=60, id_token=signed)

    return app
