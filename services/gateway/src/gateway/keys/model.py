"""What a key is: its kinds, its scopes, how it is made and how it is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

SCOPES = ("recommend", "signals", "assets:read", "assets:write", "buyers:read", "buyers:write", "admin")
# What a key looks like, wherever it might have been written by mistake.
KEY_PATTERN = re.compile(r"fw_(?:pk|sk)_[A-Za-z0-9_\-]{8,}")


class KeyKind(StrEnum):
    PUBLISHABLE = "publishable"
    SECRET = "secret"  # noqa: S105 - the name of a kind

    @property
    def prefix(self) -> str:
        return "fw_pk_" if self is KeyKind.PUBLISHABLE else "fw_sk_"


class KeyInvalid(ValueError):
    """A key that makes no sense was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: never the key itself, only its SHA-256 digest."""

    key_id: str
    kind: KeyKind
    name: str
    digest: bytes
    scopes: frozenset[str]
    origins: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """`admin` holds every scope; a publishable key holds none."""
        return self.kind is KeyKind.SECRET and (scope in self.scopes or "admin" in self.scopes)


def digest_of(key: str) -> bytes:
    """SHA-256 is enough: a key has 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def make_key(
    kind: KeyKind, *, name: str, scopes: Sequence[str] = (), origins: Sequence[str] = (), now: datetime
) -> tuple[str, ApiKey]:
    """→ (the key, shown once; what is stored of it). Raises `KeyInvalid`."""
    if kind is KeyKind.PUBLISHABLE and scopes:
        raise KeyInvalid("A publishable key has no scopes: it sends signals and asks for recommendations.")
    if kind is KeyKind.SECRET and not scopes:
        raise KeyInvalid(f"A secret key needs at least one scope of: {', '.join(SCOPES)}.")
    if kind is KeyKind.SECRET and origins:
        raise KeyInvalid("Origins bind publishable keys; a secret key must never reach a browser.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise KeyInvalid(f"Unknown scope {', '.join(unknown)}; there are: {', '.join(SCOPES)}.")
    if not name.strip():
        raise KeyInvalid("Give the key a name, so that its owner is found when it must be rotated.")
    key = kind.prefix + secrets.token_urlsafe(32)
    stored = ApiKey(
        key_id="key_" + secrets.token_hex(8),
        kind=kind,
        name=name.strip(),
        digest=digest_of(key),
        scopes=frozenset(scopes),
        origins=tuple(dict.fromkeys(normalise_origin(origin) for origin in origins)),
        created_at=now,
    )
    return key, stored


def normalise_origin(origin: str) -> str:
    """`HTTPS://Www.Example.com/` → `https://www.example.com`, as browsers write it. Raises `KeyInvalid`."""
    try:
        parts = urlsplit(origin.strip())
        port = parts.port
    except ValueError as error:
        raise KeyInvalid(f"'{origin}' is not an origin such as https://www.example.com.") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise KeyInvalid(f"'{origin}' is not an origin such as https://www.example.com.")
    scheme = parts.scheme.lower()
    usual = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{parts.hostname.lower()}" + (f":{port}" if port and port != usual else "")
