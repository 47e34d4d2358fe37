"""A recommender with a bug planted on purpose: it acknowledges signals before they are committed.

Only the chaos run's own test starts it, to see that the checker catches it. No setting leads here.
"""

from __future__ import annotations

import threading

from recommender.domain.events import Event
from recommender.service.signals import SignalService
from recommender.store.signals import DeadLetter, RecordOutcome

_LATER_SECONDS = 1.0
_commit = SignalService._commit


def _acknowledge_first(self: SignalService, events: list[Event], letters: list[DeadLetter]) -> RecordOutcome:
    threading.Timer(_LATER_SECONDS, _commit, (self, events, letters)).start()
    return RecordOutcome(len(events), 0, 0)


SignalService._commit = _acknowledge_first  # type: ignore[method-assign]

from recommender.wsgi import app  # noqa: E402 - it is built with what stands above

__all__ = ["app"]
