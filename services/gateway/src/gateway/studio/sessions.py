"""Sessions: a signed cookie that names a row, so that signing out and switching off take effect at once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from gateway.keys import KeyRing
from gateway.studio.members import User, token_digest, user_of
from gateway.studio.tables import sessions, users

COOKIE = "foreword_studio"
PATH = "/studio"
_IDLE = timedelta(hours=12)
_LONGEST = timedelta(days=7)
_SEEN_EVERY = timedelta(minutes=1)


class Sessions:
    """Who is signed in, in PostgreSQL; only digests of the tokens are kept."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def start(self, user_id: str, *, now: datetime) -> str:
        """→ a new token: one that was there before the sign-in is never taken over."""
        token = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.expires_at < now))
            connection.execute(
                sa.insert(sessions).values(
                    digest=token_digest(token),
                    user_id=user_id,
                    created_at=now,
                    last_seen_at=now,
                    expires_at=now + _LONGEST,
                )
            )
            connection.execute(
                sa.update(users).where(users.c.user_id == user_id).values(last_signed_in_at=now)
            )
        return token

    def user(self, token: str, *, now: datetime) -> User | None:
        digest = token_digest(token)
        with self._engine.begin() as connection:
            row = connection.execute(
                sa.select(users, sessions.c.last_seen_at)
                .join(sessions, sessions.c.user_id == users.c.user_id)
                .where(
                    sessions.c.digest == digest,
                    sessions.c.revoked_at.is_(None),
                    sessions.c.expires_at > now,
                    sessions.c.last_seen_at > now - _IDLE,
                    users.c.disabled_at.is_(None),
                )
            ).first()
            if row is None:
                return None
            if now - row.last_seen_at > _SEEN_EVERY:
                connection.execute(
                    sa.update(sessions).where(sessions.c.digest == digest).values(last_seen_at=now)
                )
        return user_of(row)

    def end(self, token: str, *, now: datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(sessions).where(sessions.c.digest == token_digest(token)).values(revoked_at=now)
            )


class StudioCookies(SecureCookieSessionInterface):
    """Flask's signed cookie, under a secret derived from the project's, which all replicas share."""

    def __init__(self, keys: KeyRing, *, https: bool) -> None:
        self._keys = keys
        self._https = https

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        if not self._keys.is_loaded:
            return None  # no session then; the guard says that a part is away
        app.secret_key = hmac.new(self._keys.project_secret, b"studio cookies", hashlib.sha256).hexdigest()
        return super().get_signing_serializer(app)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - as Flask calls it
        return self._https or request.is_secure
