"""A member of the content team and the link that invites one; and which addresses and passwords will do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.studio.roles import Role
from servicekit.errors import Unprocessable

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 200


@dataclass(frozen=True, slots=True)
class User:
    """A member of the content team who signs in."""

    user_id: str
    email: str
    name: str
    role: Role
    has_password: bool
    created_at: datetime
    last_signed_in_at: datetime | None
    disabled_at: datetime | None

    def may(self, role: str) -> bool:
        return self.role.may(Role(role))


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that makes one user; `email` None lets the invited say theirs."""

    digest: bytes
    email: str | None
    role: Role
    expires_at: datetime


def token_digest(token: str) -> bytes:
    """SHA-256 is enough for a token of 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def plain_email(email: str) -> str:
    return email.strip().lower()


def valid_email(email: str) -> str:
    address = plain_email(email)
    name, _, host = address.rpartition("@")
    if not name or not host or len(address) > 200 or not address.isprintable() or " " in address:
        raise Unprocessable("That is not an e-mail address.", code="email_invalid")
    return address


def valid_password(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Unprocessable(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; "
            "a few words in a row do well.",
            code="password_length",
        )
    return password


def user_of(row: sa.Row[tuple[object, ...]]) -> User:
    found = row._mapping
    return User(
        user_id=found["user_id"],
        email=found["email"],
        name=found["name"],
        role=Role(found["role"]),
        has_password=found["password_hash"] is not None,
        created_at=found["created_at"],
        last_signed_in_at=found["last_signed_in_at"],
        disabled_at=found["disabled_at"],
    )
