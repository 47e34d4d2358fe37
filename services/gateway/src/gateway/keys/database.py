"""Keys in PostgreSQL: written by the command line, read by every replica of the gateway."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from gateway.keys.model import ApiKey, KeyKind
from gateway.keys.ring import KeySnapshot
from gateway.store.tables import api_keys, project
from servicekit.database import reading
from servicekit.errors import Unavailable

_SECRET_NAME = "secret"  # noqa: S105 - the row's name


class DatabaseKeySource:
    """A `KeySource` over the tables `api_keys` and `project`; a silent database is `Unavailable`."""

    def __init__(self, engine: sa.Engine, *, project_secret: bytes | None = None) -> None:
        self._engine = engine
        self._given_secret = project_secret
        self._stored_secret: bytes | None = None

    def load(self) -> KeySnapshot:
        try:
            with reading(self._engine) as connection:
                keys = tuple(_key(row) for row in connection.execute(sa.select(api_keys)))
            return KeySnapshot(keys, self.project_secret())
        except sa.exc.SQLAlchemyError as error:
            raise Unavailable("The keys' database does not answer.") from error

    def project_secret(self) -> bytes:
        """The secret from the settings, else the stored one, made by whoever comes first."""
        if self._given_secret is not None:
            return self._given_secret
        if self._stored_secret is None:
            made = insert(project).values(name=_SECRET_NAME, value=secrets.token_bytes(32))
            with self._engine.begin() as connection:
                connection.execute(made.on_conflict_do_nothing())
                self._stored_secret = bytes(
                    connection.execute(
                        sa.select(project.c.value).where(project.c.name == _SECRET_NAME)
                    ).scalar_one()
                )
        return self._stored_secret

    def record_use(self, used: Mapping[str, datetime]) -> None:
        statement = (
            sa.update(api_keys)
            .where(api_keys.c.key_id == sa.bindparam("id"))
            .values(last_used_at=sa.func.greatest(api_keys.c.last_used_at, sa.bindparam("at")))
        )
        # One order for all replicas, so that two of them never wait for one another.
        rows = [{"id": key_id, "at": used[key_id]} for key_id in sorted(used)]
        try:
            with self._engine.begin() as connection:
                connection.execute(statement, rows)
        except sa.exc.SQLAlchemyError as error:
            raise Unavailable("The keys' database does not answer.") from error

    def add(self, key: ApiKey) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.insert(api_keys).values(
                    key_id=key.key_id,
                    kind=key.kind.value,
                    name=key.name,
                    digest=key.digest,
                    scopes=sorted(key.scopes),
                    origins=list(key.origins),
                    created_at=key.created_at,
                )
            )

    def all(self) -> tuple[ApiKey, ...]:
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at))
            return tuple(_key(row) for row in rows)

    def revoke(self, key_id: str, *, now: datetime) -> bool:
        """→ whether there was such a key; revoking twice keeps the first time."""
        with self._engine.begin() as connection:
            done = connection.execute(
                sa.update(api_keys)
                .where(api_keys.c.key_id == key_id)
                .values(revoked_at=sa.func.coalesce(api_keys.c.revoked_at, now))
            )
            return done.rowcount > 0


def _key(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    found = row._mapping
    return ApiKey(
        key_id=found["key_id"],
        kind=KeyKind(found["kind"]),
        name=found["name"],
        digest=bytes(found["digest"]),
        scopes=frozenset(found["scopes"]),
        origins=tuple(found["origins"]),
        created_at=found["created_at"],
        last_used_at=found["last_used_at"],
        revoked_at=found["revoked_at"],
    )
