"""Loops beside the requests: each does one thing again and again, counts its failures, stops cleanly."""

from __future__ import annotations

import threading
from collections.abc import Callable

from prometheus_client import Counter

from servicekit import logs
from servicekit.crash_text import kinds


class BackgroundLoop:
    """Calls `step` every `interval_seconds`, or sooner when `wake()` is called, until `stop()`.

    A step that raises is logged and counted, and tried again after the interval: a loop never dies silently.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        interval_seconds: float,
        failures: Counter,
        service: str,
    ) -> None:
        self.name = name
        self._step = step
        self._interval = interval_seconds
        self._failures = failures.labels(name)
        self._log = logs.get(service)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - the loop is the last stop: it logs, counts, goes on
                self._failures.inc()
                self._log.warning("loop_failed", loop=self.name, error=kinds(error))
            self._wake.wait(self._interval)
