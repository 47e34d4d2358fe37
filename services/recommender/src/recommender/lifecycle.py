"""What runs beside the requests: begun once the catalogue is there, ended in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from prometheus_client import Counter

from recommender.service.following import CatalogueListener
from servicekit import logs
from servicekit.background import BackgroundLoop
from servicekit.crash_text import kinds

_START_AGAIN_SECONDS = 1.0


class Lifecycle:
    """`start` loads, again and again until that succeeds, and then sets the loops going."""

    def __init__(
        self,
        loads: Sequence[Callable[[], object]],
        pulse: BackgroundLoop,
        loops: Sequence[BackgroundLoop],
        listener: CatalogueListener,
        failures: Counter,
    ) -> None:
        self._loads = loads
        self._pulse = pulse
        self._loops = loops
        self._listener = listener
        self._failures = failures
        self._closing = threading.Event()

    def start(self) -> None:
        self._pulse.start()  # a large catalogue is loaded for minutes
        threading.Thread(target=self._begin, name="start", daemon=True).start()

    def stop(self) -> None:
        self._closing.set()
        self._listener.stop()
        for one in (self._pulse, *self._loops):
            one.stop()

    def _begin(self) -> None:
        while not self._loaded():
            if self._closing.wait(_START_AGAIN_SECONDS):
                return
        for one in self._loops:
            one.start()
        self._listener.start()

    def _loaded(self) -> bool:
        try:
            for load in self._loads:
                load()
        except Exception as error:  # noqa: BLE001 - nobody else would try again
            self._failures.labels("start").inc()
            logs.get("recommender").warning("start_put_off", error=kinds(error))
            return False
        return True
