"""The key as the head of a request carries it; nobody has said yet that there is such a key."""

from __future__ import annotations

import base64
import binascii


def in_authorization(header: str) -> str | None:
    """From `Authorization`: as a bearer's token, or as the user name of HTTP Basic, which trackers send."""
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
