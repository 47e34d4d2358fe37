"""Signed click links: what was shown where, sealed so that nobody can read or forge it.

The token is AES-SIV (RFC 5297) under a key derived from the project's secret (HKDF, RFC 5869). Sealing rather
than only signing keeps the buyer's id out of links that land in inboxes, proxies and analytics tools.
AES-SIV needs no nonce: the same link always has the same token, which makes a second click recognisable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from servicekit.errors import NotFound

_VERSION = b"\x01"
_CONTEXT = [b"foreword click link", _VERSION]


@dataclass(frozen=True, slots=True)
class Click:
    """What a link stands for; `user_id` or `anonymous_id` is the buyer it was made for, if known."""

    asset_id: str
    url: str
    recommendation_id: str
    placement: str
    channel: str = "web"
    user_id: str | None = None
    anonymous_id: str | None = None


class ClickSealer:
    """Turns a click into a token and back. Raises `NotFound` for a token that is not ours."""

    def __init__(self, project_secret: bytes) -> None:
        derive = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"foreword/click/1")
        self._cipher = AESSIV(derive.derive(project_secret))

    def seal(self, click: Click) -> str:
        fields = [
            click.asset_id,
            click.url,
            click.recommendation_id,
            click.placement,
            click.channel,
            click.user_id,
            click.anonymous_id,
        ]
        sealed = self._cipher.encrypt(orjson.dumps(fields), _CONTEXT)
        return _text(_VERSION + sealed)

    def open(self, token: str) -> Click:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            # Other spellings of the same bytes would count as other clicks.
            if raw[:1] != _VERSION or _text(raw) != token:
                raise NotFound("This link is not one of ours.", code="click_unknown")
            return Click(*orjson.loads(self._cipher.decrypt(raw[1:], _CONTEXT)))
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise NotFound("This link is not one of ours.", code="click_unknown") from error


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def message_id(token: str) -> str:
    """One id a link, so that a second click or a retry is not a second signal."""
    return "click-" + hashlib.sha256(token.encode()).hexdigest()[:40]
