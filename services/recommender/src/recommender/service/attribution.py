"""The loop that keeps signals and assets in agreement, whichever of the two came first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import sqlalchemy as sa

from recommender.store import attribution as store

_BLOCK = 200
# Longer than a request takes to store its signals: one that looked for the asset before it was there, and was
# not yet committed when this loop looked for signals, is found at the second look.
_SECOND_LOOK_SECONDS = 60.0


class Attributor:
    """A signal may name a page before its asset exists, and an asset may change its type after its signals.

    Both change what the log says of a buyer, so their states are folded anew. At its first step, and so after
    every restart, it looks at all pages.
    """

    def __init__(self, engine: sa.Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._looked_at_all = False
        self._again: deque[tuple[float, list[str]]] = deque()

    def step(self) -> None:
        if not self._looked_at_all:
            with self._engine.begin() as connection:
                store.attribute(connection, None)
            self._looked_at_all = True
        while self._block() == _BLOCK:
            pass
        while self._again and self._again[0][0] <= self._monotonic():
            with self._engine.begin() as connection:
                store.attribute(connection, self._again[0][1])
            self._again.popleft()

    def _block(self) -> int:
        with self._engine.begin() as connection:
            found = store.unannounced(connection, _BLOCK)
            if not found:
                return 0
            pages = [one.page for one in found if one.page]
            store.attribute(connection, pages)
            store.announce(connection, found)
        self._again.append((self._monotonic() + _SECOND_LOOK_SECONDS, pages))
        return len(found)
