"""When profiles that nobody waits for are folded: not while a log is being imported."""

from __future__ import annotations

from collections.abc import Callable

_BULK_EVENTS = 500
_QUIET_SECONDS = 1.0
_LONGEST_SECONDS = 60.0


class FoldingPace:
    """Folding after each batch of an import would fold the same people's growing logs again and again.

    Nothing is served late for it: whoever is asked about is folded when read. `clock` counts seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bulk_at = float("-inf")
        self._allowed_at = clock()

    def recorded(self, events: int) -> None:
        """A request with this many events has been committed."""
        if events >= _BULK_EVENTS:
            self._bulk_at = self._clock()

    def may_fold(self) -> bool:
        """No while large batches follow one another, but for a look once a minute."""
        now = self._clock()
        if now - self._bulk_at < _QUIET_SECONDS and now - self._allowed_at < _LONGEST_SECONDS:
            return False
        self._allowed_at = now
        return True
