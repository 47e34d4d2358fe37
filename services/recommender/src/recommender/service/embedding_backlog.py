"""How many assets wait for a vector, without reading the whole catalogue each time it is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from prometheus_client import Gauge

from recommender.service.clock import Clock
from recommender.store import embeddings
from recommender.store.assets import read_head
from servicekit.database import reading

# What was settled is looked at again now and then, whatever somebody did to the tables by hand.
_LOOKED_AGAIN = timedelta(minutes=5)
_REPORTED_AGAIN = timedelta(seconds=5)


class EmbeddingBacklog:
    """Remembers up to which change of the catalogue nothing waits; only what came later is asked for."""

    def __init__(self, engine: sa.Engine, clock: Clock, waiting: Gauge, oldest_seconds: Gauge) -> None:
        self._engine = engine
        self._clock = clock
        self._waiting = waiting
        self._oldest = oldest_seconds
        self._model_id: str | None = None
        self._settled = embeddings.NOTHING_SETTLED
        self._looked_at: datetime | None = None
        self._reported_at: datetime | None = None

    def settled(self, model_id: str) -> int:
        """No asset whose change number is at most this waits for a vector of this model."""
        return self._settled if model_id == self._model_id else embeddings.NOTHING_SETTLED

    def report(self) -> None:
        """Count what waits for the model that is served."""
        now = self._clock()
        with reading(self._engine) as connection:
            head, live_model = read_head(connection)
            if self._is_due(now, live_model):
                self._settled, self._model_id, self._looked_at = embeddings.NOTHING_SETTLED, live_model, now
            found = embeddings.backlog(connection, live_model, self._settled)
        self._reported_at = now
        self._settled = head if found.first_change is None else found.first_change - 1
        self._waiting.set(found.count)
        self._oldest.set(found.oldest_seconds)

    def report_now_and_then(self) -> None:
        """While there is much to do: counting what is left would take longer than a block of it."""
        now = self._clock()
        if self._reported_at is None or not timedelta(0) <= now - self._reported_at < _REPORTED_AGAIN:
            self.report()

    def _is_due(self, now: datetime, live_model: str | None) -> bool:
        if self._looked_at is None or live_model != self._model_id:
            return True
        return not timedelta(0) <= now - self._looked_at < _LOOKED_AGAIN
