"""API keys as operators see them: issued, listed and revoked in the studio."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.keys import ApiKey, DatabaseKeySource, KeyInvalid, KeyKind, KeyRing, make_key
from servicekit.errors import NotFound, Unprocessable


class KeyBook:
    """Writes go to the database and, at once, into this replica's key ring."""

    def __init__(self, engine: sa.Engine, ring: KeyRing) -> None:
        self._store = DatabaseKeySource(engine)
        self._ring = ring

    def all(self) -> tuple[ApiKey, ...]:
        return self._store.all()

    def issue(
        self, kind: str, *, name: str, scopes: Sequence[str], origins: Sequence[str], now: datetime
    ) -> tuple[str, ApiKey]:
        """→ (the key, shown once; what is stored). Raises `Unprocessable`."""
        try:
            text, key = make_key(KeyKind(kind), name=name, scopes=scopes, origins=origins, now=now)
        except (KeyInvalid, ValueError) as error:
            raise Unprocessable(str(error), code="key_invalid") from error
        self._store.add(key)
        self._ring.refresh()
        return text, key

    def revoke(self, key_id: str, *, now: datetime) -> ApiKey:
        if not self._store.revoke(key_id, now=now):
            raise NotFound("There is no such key.")
        self._ring.refresh()
        return next(key for key in self._store.all() if key.key_id == key_id)
