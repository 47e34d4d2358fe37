"""Keys for development: made once, kept in a file that only its owner can read, and used again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway.keys.database import DatabaseKeySource
from gateway.keys.model import SCOPES, ApiKey, KeyKind, digest_of, make_key
from gateway.keys.private_file import write_private
from servicekit.database import create_engine


def ensure_development_keys(url: str, path: Path) -> dict[str, str]:
    """Write `{"publishable": …, "secret": …}` with mode 0600; keys that still work are kept.

    The secret key holds every scope, and the publishable one takes any origin: both are for one machine.
    """
    engine = create_engine(url, pool_size=1, application_name="foreword-keys")
    try:
        store = DatabaseKeySource(engine)
        store.project_secret()
        existing = _read(path)
        stored = {key.digest: key for key in store.all()}
        if existing is not None and all(_works(existing[kind.value], kind, stored) for kind in KeyKind):
            path.chmod(0o600)
            return existing
        fresh = {}
        for kind in KeyKind:
            scopes = SCOPES if kind is KeyKind.SECRET else ()
            now = datetime.now(UTC)
            fresh[kind.value], key = make_key(kind, name=f"development {kind.value}", scopes=scopes, now=now)
            store.add(key)
        write_private(path, orjson.dumps(fresh, option=orjson.OPT_INDENT_2) + b"\n")
        return fresh
    finally:
        engine.dispose()


def _works(key: str, kind: KeyKind, stored: dict[bytes, ApiKey]) -> bool:
    found = stored.get(digest_of(key))
    if found is None or found.revoked_at is not None or found.kind is not kind:
        return False
    return kind is KeyKind.PUBLISHABLE or found.scopes >= set(SCOPES)


def _read(path: Path) -> dict[str, str] | None:
    try:
        value = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    if isinstance(value, dict) and all(isinstance(value.get(kind.value), str) for kind in KeyKind):
        return {kind.value: value[kind.value] for kind in KeyKind}
    return None
