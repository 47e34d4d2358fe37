"""The keys in a file beside the gateway, for a start while their database is away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from gateway.keys.model import ApiKey
from gateway.keys.private_file import write_private
from gateway.keys.ring import KeySnapshot
from servicekit import logs

# A key that was revoked while this gateway was down is refused once the database is back, or after this.
_LONGEST = timedelta(hours=1)
_WRITTEN_EVERY = timedelta(minutes=1)


class _Document(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", frozen=True, extra="forbid")

    format: Literal[1] = 1
    read_at: AwareDatetime
    keys: tuple[ApiKey, ...]
    project_secret: bytes | None


class KeptKeys:
    """Digests of keys, and the project's secret unless it is `given_secret`: nobody else may read the file.

    It never raises: a folder that is full or missing costs the next start in an outage, and no request.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime], given_secret: bytes | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._given_secret = given_secret
        self._written: KeySnapshot | None = None
        self._written_at: datetime | None = None
        self._failing = False
        self._log = logs.get("gateway")

    def keep(self, snapshot: KeySnapshot) -> None:
        """Write what was just read from the database, if it is new or the file gets old."""
        now = self._clock()
        if (
            snapshot == self._written
            and self._written_at is not None
            and timedelta(0) <= now - self._written_at < _WRITTEN_EVERY
        ):
            return
        secret = None if self._given_secret is not None else snapshot.project_secret
        document = _Document(read_at=now, keys=snapshot.keys, project_secret=secret)
        try:
            write_private(self._path, document.model_dump_json().encode())
        except OSError as error:
            if not self._failing:
                self._log.warning("keys_not_kept", file=str(self._path), error=type(error).__name__)
            self._failing = True
            return
        self._written, self._written_at, self._failing = snapshot, now, False

    def last(self) -> KeySnapshot | None:
        """What was kept last; None where there is nothing, nothing readable, or nothing young enough."""
        try:
            found = _Document.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self._log.warning("kept_keys_unusable", file=str(self._path), error=type(error).__name__)
            return None
        age = self._clock() - found.read_at
        secret = found.project_secret if self._given_secret is None else self._given_secret
        if secret is None or not timedelta(0) <= age <= _LONGEST:
            return None
        return KeySnapshot(found.keys, secret)
