"""The content team as it is stored: users, the links that invite them, and their passwords."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import cached_property

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.studio.members import (
    LONGEST_PASSWORD,
    Invitation,
    User,
    plain_email,
    token_digest,
    user_of,
    valid_email,
    valid_password,
)
from gateway.studio.roles import Role
from gateway.studio.tables import invitations, sessions, users
from servicekit.database import reading
from servicekit.errors import Conflict, Forbidden, NotFound, Unprocessable

_INVITATION_LIFE = timedelta(days=3)


class People:
    """Users and invitations in PostgreSQL."""

    def __init__(self, engine: sa.Engine, hasher: PasswordHasher | None = None) -> None:
        self._engine = engine
        self._hasher = hasher or PasswordHasher()

    @cached_property
    def _decoy(self) -> str:
        """Compared with when there is no such user, so that the answer takes as long as for one."""
        return self._hasher.hash(secrets.token_urlsafe(16))

    def are_none(self) -> bool:
        with reading(self._engine) as connection:
            return connection.execute(sa.select(users.c.user_id).limit(1)).first() is None

    def all(self) -> list[User]:
        with reading(self._engine) as connection:
            return [user_of(row) for row in connection.execute(sa.select(users).order_by(users.c.email))]

    def find(self, user_id: str) -> User:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(users).where(users.c.user_id == user_id)).first()
        if row is None:
            raise NotFound("There is no such person.")
        return user_of(row)

    def find_by_email(self, email: str) -> User | None:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(users).where(users.c.email == plain_email(email))).first()
        return None if row is None else user_of(row)

    def with_password(self, email: str, password: str) -> User | None:
        """The user whose password this is; None for every other case, after the same time."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(users).where(users.c.email == plain_email(email))).first()
        stored = self._decoy if row is None or row.password_hash is None else row.password_hash
        try:
            self._hasher.verify(stored, password[: LONGEST_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            return None
        if row is None or row.disabled_at is not None or stored == self._decoy:
            return None
        return user_of(row)

    def invite(self, role: Role, *, email: str | None, now: datetime) -> str:
        """→ the token of the link, shown once; only its digest is kept."""
        token = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(
                sa.insert(invitations).values(
                    digest=token_digest(token),
                    email=None if email is None else valid_email(email),
                    role=role.value,
                    created_at=now,
                    expires_at=now + _INVITATION_LIFE,
                )
            )
        return token

    def invitation(self, token: str, *, now: datetime) -> Invitation:
        """Raises `NotFound` when the link was never given out, was used, or is too old."""
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(invitations).where(
                    invitations.c.digest == token_digest(token),
                    invitations.c.used_at.is_(None),
                    invitations.c.expires_at > now,
                )
            ).first()
        if row is None:
            raise NotFound(
                "This link was used or has run out. `foreword studio setup-link` prints a new one; "
                "an operator can also make one on the page People.",
                code="invitation_unknown",
            )
        return Invitation(bytes(row.digest), row.email, Role(row.role), row.expires_at)

    def accept(self, invitation: Invitation, *, email: str, name: str, password: str, now: datetime) -> User:
        """Make the user, or give an existing one of this address the new password, and use the link up."""
        address = invitation.email or valid_email(email)
        if not name.strip():
            raise Unprocessable("Say what your colleagues call you.", code="name_missing")
        hashed = self._hasher.hash(valid_password(password))
        user_id = "user_" + secrets.token_hex(8)
        with self._engine.begin() as connection:
            used = connection.execute(
                sa.update(invitations)
                .where(invitations.c.digest == invitation.digest, invitations.c.used_at.is_(None))
                .values(used_at=now)
            )
            if used.rowcount != 1:
                raise Conflict("This link has just been used.", code="invitation_used")
            if invitation.email is None:
                # Whoever finds another of the links that were printed must not become an operator with it.
                connection.execute(
                    sa.update(invitations)
                    .where(invitations.c.email.is_(None), invitations.c.used_at.is_(None))
                    .values(used_at=now)
                )
            known = connection.execute(sa.select(users.c.user_id).where(users.c.email == address)).scalar()
            if known is not None:
                # A link for an address that is known is how a lost password is replaced.
                connection.execute(
                    sa.update(users)
                    .where(users.c.user_id == known)
                    .values(
                        password_hash=hashed,
                        disabled_at=None,
                        role=invitation.role.value,
                        name=name.strip()[:200],
                    )
                )
                connection.execute(
                    sa.update(sessions).where(sessions.c.user_id == known).values(revoked_at=now)
                )
                user_id = known
            else:
                connection.execute(
                    sa.insert(users).values(
                        user_id=user_id,
                        email=address,
                        name=name.strip()[:200],
                        role=invitation.role.value,
                        password_hash=hashed,
                        created_at=now,
                    )
                )
        return self.find(user_id)

    def from_provider(self, *, email: str, name: str, now: datetime) -> User:
        """The user whom the identity provider vouches for; a new one starts as a viewer."""
        address = valid_email(email)
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(users).where(users.c.email == address)).first()
            if row is None:
                connection.execute(
                    sa.insert(users).values(
                        user_id="user_" + secrets.token_hex(8),
                        email=address,
                        name=(name.strip() or address)[:200],
                        role=Role.VIEWER.value,
                        created_at=now,
                    )
                )
                row = connection.execute(sa.select(users).where(users.c.email == address)).one()
        found = user_of(row)
        if found.disabled_at is not None:
            raise Forbidden("This account is switched off; ask an operator.", code="user_disabled")
        return found

    def set_role(self, user_id: str, role: Role) -> None:
        with self._engine.begin() as connection:
            self._keep_an_operator(connection, user_id, stays=role is Role.OPERATOR)
            connection.execute(sa.update(users).where(users.c.user_id == user_id).values(role=role.value))

    def disable(self, user_id: str, *, now: datetime) -> None:
        """No sign-in any more, and every session ends at once."""
        with self._engine.begin() as connection:
            self._keep_an_operator(connection, user_id, stays=False)
            connection.execute(sa.update(users).where(users.c.user_id == user_id).values(disabled_at=now))
            connection.execute(
                sa.update(sessions).where(sessions.c.user_id == user_id).values(revoked_at=now)
            )

    def enable(self, user_id: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(users).where(users.c.user_id == user_id).values(disabled_at=None))

    @staticmethod
    def _keep_an_operator(connection: sa.Connection, user_id: str, *, stays: bool) -> None:
        others = connection.execute(
            sa.select(users.c.user_id)
            .where(users.c.role == Role.OPERATOR.value, users.c.disabled_at.is_(None))
            .with_for_update()
        ).scalars()
        operators = set(others)
        if not stays and operators == {user_id}:
            raise Conflict("This is the last operator; make another one first.", code="last_operator")
