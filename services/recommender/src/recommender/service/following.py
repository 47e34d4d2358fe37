"""Listening for other replicas' writes, so that this one follows at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg

from servicekit import logs

_RECONNECT_SECONDS = 2.0


class CatalogueListener:
    """LISTEN on a connection of its own. Without it this replica follows a little later."""

    def __init__(self, database_url: str, on_change: Callable[[], None]) -> None:
        self._url = database_url.replace("postgresql+psycopg://", "postgresql://")
        self._on_change = on_change
        self._stopping = threading.Event()
        self._log = logs.get("recommender")
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(3.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=3) as connection:
                    connection.execute("LISTEN foreword_catalogue")
                    self._on_change()
                    while not self._stopping.is_set():
                        for _ in connection.notifies(timeout=1.0, stop_after=1):
                            self._on_change()
            except psycopg.Error as error:
                self._log.warning("listen_lost", error=type(error).__name__)
                self._stopping.wait(_RECONNECT_SECONDS)
