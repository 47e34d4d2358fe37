"""What was sent, and what was acknowledged: the one side of the balance that the checker strikes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class SentSignal:
    """A tracking call; `acknowledged_at` (monotonic) is None while no `{"success": true}` came for it."""

    message_id: str
    user_id: str | None
    anonymous_id: str | None
    event: str
    asset_id: str | None
    timestamp: str | None
    tries: int = 0
    acknowledged_at: float | None = None


@dataclass(slots=True)
class AssetWrites:
    """All that was tried on one asset, in order: titles, and None for a deletion.

    `settled` counts how many of `tried` are decided: the last of them was acknowledged. What was tried after
    it may have been stored or not.
    """

    tried: list[str | None] = field(default_factory=list)
    settled: int = 0


@dataclass(slots=True)
class Erasure:
    """One buyer; after `acknowledged_at` nothing of them may be stored, nor come back."""

    user_id: str
    acknowledged_at: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One request for recommendations as its caller saw it; times are monotonic."""

    began: float
    seconds: float
    answered: bool
    at_first: bool
    degraded: bool
    wrong: str = ""


@dataclass(slots=True)
class Ledger:
    """Filled by many threads; read when they have ended."""

    signals: dict[str, SentSignal] = field(default_factory=dict)
    merges: set[tuple[str, str]] = field(default_factory=set)
    assets: dict[str, AssetWrites] = field(default_factory=dict)
    erasures: dict[str, Erasure] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    refused: int = 0
    unanswered: int = 0
    duplicates_sent: int = 0
    surprises: list[str] = field(default_factory=list)
    importing: threading.Event = field(default_factory=threading.Event)
    _deleted: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def trying(self, asset_id: str, title: str | None) -> int:
        """Write down before it is sent. → the number to settle with."""
        with self._lock:
            self._deleted.pop(asset_id, None)
            writes = self.assets.setdefault(asset_id, AssetWrites())
            writes.tried.append(title)
            return len(writes.tried)

    def settle(self, asset_id: str, number: int) -> None:
        with self._lock:
            writes = self.assets[asset_id]
            writes.settled = max(writes.settled, number)
            if writes.settled == len(writes.tried) and writes.tried[-1] is None:
                self._deleted[asset_id] = time.monotonic()

    def gone_before(self, asset_id: str, moment: float) -> bool:
        """Whether its deletion was acknowledged before this moment, and nothing was tried since."""
        with self._lock:
            at = self._deleted.get(asset_id)
            return at is not None and at < moment

    def acknowledged(self) -> list[SentSignal]:
        return [one for one in self.signals.values() if one.acknowledged_at is not None]
