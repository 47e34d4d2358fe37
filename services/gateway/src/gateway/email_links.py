"""Sealed links of mails: to see a block in the browser, and the image that tells of an opening.

Sealed as click links are, under a key of their own, so that none can be used in the place of another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from servicekit.errors import NotFound


@dataclass(frozen=True, slots=True)
class EmailView:
    """One slot of one mail to one recipient, and how it looks; the same fields give the same link."""

    send_id: str
    slot: str
    user_id: str | None
    anonymous_id: str | None
    placement: str
    count: int
    goal: str
    heading: str
    accent: str


@dataclass(frozen=True, slots=True)
class EmailOpening:
    """What was before the reader when the mail was opened."""

    send_id: str
    slot: str
    user_id: str | None
    anonymous_id: str | None
    placement: str
    recommendation_id: str
    asset_ids: tuple[str, ...]


class EmailSealer:
    """Raises `NotFound` for a token that is not ours."""

    def __init__(self, project_secret: bytes) -> None:
        derive = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"foreword/email/1")
        self._cipher = AESSIV(derive.derive(project_secret))

    def seal_view(self, view: EmailView) -> str:
        return self._seal(b"view", astuple(view))

    def open_view(self, token: str) -> EmailView:
        return EmailView(*self._open(b"view", token))

    def seal_opening(self, opening: EmailOpening) -> str:
        return self._seal(b"open", astuple(opening))

    def open_opening(self, token: str) -> EmailOpening:
        send_id, slot, user_id, anonymous_id, placement, recommendation_id, assets = self._open(
            b"open", token
        )
        return EmailOpening(send_id, slot, user_id, anonymous_id, placement, recommendation_id, tuple(assets))

    def _seal(self, kind: bytes, fields: Sequence[Any]) -> str:
        sealed = self._cipher.encrypt(orjson.dumps(fields), [b"foreword email", kind])
        return _text(sealed)

    def _open(self, kind: bytes, token: str) -> list[Any]:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            if _text(raw) != token:
                raise NotFound("This link is not one of ours.", code="email_link_unknown")
            fields: list[Any] = orjson.loads(self._cipher.decrypt(raw, [b"foreword email", kind]))
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise NotFound("This link is not one of ours.", code="email_link_unknown") from error
        return fields


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def opening_message_id(opening: EmailOpening, asset_id: str) -> str:
    """One a mail, recipient, slot and asset: a mail that is opened again is not seen by two."""
    named = orjson.dumps([opening.send_id, opening.slot, opening.user_id, opening.anonymous_id, asset_id])
    return "open-" + hashlib.sha256(named).hexdigest()[:40]
