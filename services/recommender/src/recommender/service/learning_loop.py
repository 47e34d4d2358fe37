"""Keeps what is learnt from all buyers' behaviour up to date, in the background."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from prometheus_client import Gauge, Histogram

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import LINK_TERMS, RankingConfig
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.behaviour import Behaviour, empty_behaviour, learn_behaviour
from recommender.service.clock import Clock
from recommender.store import behaviour as store
from servicekit.database import reading

_MEMORY_SECONDS = 548 * 86_400.0
# Learning shares the processor with requests: after it the loop rests so many times as long as it took.
_REST = 20.0


class BehaviourKeeper:
    """Holds the newest Behaviour; `refresh` learns it anew when the log has grown."""

    def __init__(
        self,
        engine: sa.Engine,
        kinds: SignalKinds,
        config: RankingConfig,
        clock: Clock,
        catalogue: Callable[[], Catalogue],
        seconds: Histogram,
        events: Gauge,
    ) -> None:
        self._engine = engine
        self._kinds = kinds
        self._config = config
        self._clock = clock
        self._catalogue = catalogue
        self._seconds = seconds
        self._events = events
        self._size = -1
        self._rest_until = 0.0
        self.behaviour: Behaviour = empty_behaviour(config)

    def refresh(self) -> None:
        with reading(self._engine) as connection:
            size = store.log_size(connection)
            if size == self._size or time.monotonic() < self._rest_until:
                return
            now = self._clock().timestamp()
            events = store.load_events(connection, self._kinds.names, now - _MEMORY_SECONDS)
        started = time.monotonic()
        with self._seconds.time():
            self.behaviour = learn_behaviour(
                events,
                self._kinds,
                now,
                self._config,
                catalogue=self._catalogue(),
                # The dearest of it, for terms that weigh nothing until `foreword learn` has seen a log.
                links=self._config.weighs_any(LINK_TERMS),
            )
        self._rest_until = time.monotonic() + _REST * (time.monotonic() - started)
        self._events.set(len(events))
        self._size = size
