"""The keys in memory: what every request is checked against, so that the database is not asked."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from gateway.keys.model import ApiKey, digest_of
from gateway.metrics import GatewayMetrics
from servicekit import logs
from servicekit.background import BackgroundLoop
from servicekit.errors import ForewordError, Unavailable

_LAST_USE_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """All keys, revoked ones too, and the project's secret, as they were at one moment."""

    keys: tuple[ApiKey, ...]
    project_secret: bytes


class KeySource(Protocol):
    """Where keys are kept. Raises `Unavailable` when it does not answer."""

    def load(self) -> KeySnapshot: ...

    def record_use(self, used: Mapping[str, datetime]) -> None: ...


class Kept(Protocol):
    """Keys of before, for a start while the source does not answer. Never raises."""

    def keep(self, snapshot: KeySnapshot) -> None: ...

    def last(self) -> KeySnapshot | None: ...


class MemoryKeySource:
    """Keys without a database, for tests and for writing the contract down."""

    def __init__(self, keys: Sequence[ApiKey] = (), project_secret: bytes = b"0" * 32) -> None:
        self.keys = list(keys)
        self.project_secret = project_secret
        self.used: dict[str, datetime] = {}
        self.away = False

    def load(self) -> KeySnapshot:
        if self.away:
            raise Unavailable("The keys' database does not answer.")
        return KeySnapshot(tuple(self.keys), self.project_secret)

    def record_use(self, used: Mapping[str, datetime]) -> None:
        if self.away:
            raise Unavailable("The keys' database does not answer.")
        self.used.update(used)


class KeyRing:
    """Answers from the last snapshot that could be read; an outage of the database is counted, not felt."""

    def __init__(
        self,
        source: KeySource,
        *,
        metrics: GatewayMetrics,
        refresh_seconds: float,
        kept: Kept | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._kept = kept
        self._clock = clock
        self._metrics = metrics
        self._log = logs.get("gateway")
        self._by_digest: dict[bytes, ApiKey] = {}
        self._secret: bytes | None = None
        self._stale = False
        self._used: dict[str, datetime] = {}
        self._used_lock = threading.Lock()
        self._last_flush = clock()
        self._loop = BackgroundLoop(
            "keys",
            self.refresh,
            interval_seconds=refresh_seconds,
            failures=metrics.loop_failures,
            service="gateway",
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        try:
            self.flush_uses()
        except ForewordError:
            self._metrics.key_refresh_failures.inc()

    @property
    def is_loaded(self) -> bool:
        return self._secret is not None

    @property
    def is_stale(self) -> bool:
        """Whether the last attempt to read failed, so that a revocation may not be known yet."""
        return self._stale

    @property
    def project_secret(self) -> bytes:
        if self._secret is None:
            raise Unavailable("The keys are not loaded yet.", code="keys_not_loaded")
        return self._secret

    def find(self, key: str) -> ApiKey | None:
        """The stored key of this text, revoked or not; None when there is none."""
        if self._secret is None:
            raise Unavailable("The keys are not loaded yet.", code="keys_not_loaded")
        digest = digest_of(key)
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        return found

    def used(self, key: ApiKey) -> None:
        with self._used_lock:
            self._used[key.key_id] = datetime.now(UTC)

    def refresh(self) -> None:
        """Read all keys; on failure the last ones go on working, at a start those that were kept."""
        try:
            snapshot = self._source.load()
        except Unavailable:
            if self._secret is None and self._kept is not None and (last := self._kept.last()) is not None:
                self._take(last)
            if not self._stale:
                self._log.warning("keys_stale", known=len(self._by_digest))
            self._stale = True
            self._metrics.key_refresh_failures.inc()
            return
        if self._stale:
            self._log.info("keys_fresh_again", known=len(snapshot.keys))
        self._take(snapshot)
        self._stale = False
        self._metrics.keys_refreshed.set_to_current_time()
        if self._kept is not None:
            self._kept.keep(snapshot)
        if self._clock() - self._last_flush >= _LAST_USE_EVERY_SECONDS:
            self.flush_uses()

    def _take(self, snapshot: KeySnapshot) -> None:
        self._by_digest = {key.digest: key for key in snapshot.keys}
        self._secret = snapshot.project_secret
        self._metrics.keys_loaded.set(sum(1 for key in snapshot.keys if key.revoked_at is None))

    def flush_uses(self) -> None:
        """Write when each key was last used: beside the requests, and at most once a minute."""
        self._last_flush = self._clock()
        with self._used_lock:
            used, self._used = self._used, {}
        if used:
            self._source.record_use(used)
