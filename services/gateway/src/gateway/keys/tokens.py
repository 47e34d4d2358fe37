"""User tokens: proof to a publishable key that the firm's own server vouches for this `user_id`."""

from __future__ import annotations

import hashlib
import hmac


def user_token(project_secret: bytes, user_id: str) -> str:
    """Hexadecimal HMAC-SHA256 (RFC 2104) of the id under the project's secret."""
    return hmac.new(project_secret, user_id.encode(), hashlib.sha256).hexdigest()


def token_is_valid(project_secret: bytes, user_id: str, token: str) -> bool:
    expected = user_token(project_secret, user_id)
    return hmac.compare_digest(expected.encode(), token.strip().lower().encode("utf-8", "surrogatepass"))
