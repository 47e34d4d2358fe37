"""A Redis of the drill's own, in which both gateways count requests, and which can be taken away."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import psutil

_COMMANDS = ("redis-server", "valkey-server")


class SharedCounts:
    """One Redis or Valkey on a port of this machine; it keeps nothing."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}"
        self._port = port
        self._folder = folder
        self._process: psutil.Popen | None = None

    def start(self) -> float:
        """→ the moment (monotonic) from which it takes connections."""
        command = next(found for name in _COMMANDS if (found := shutil.which(name)))
        kept_nowhere = ("--save", "", "--appendonly", "no", "--daemonize", "no")
        self._process = psutil.Popen(
            [command, "--bind", "127.0.0.1", "--port", str(self._port), "--dir", self._folder, *kept_nowhere],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not self._listens():
            time.sleep(0.02)
        return time.monotonic()

    def _listens(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("Redis ended at its start.")
        listening = self._process.net_connections(kind="tcp4")
        return any(one.status == psutil.CONN_LISTEN for one in listening)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @staticmethod
    def is_installed() -> bool:
        return any(shutil.which(name) for name in _COMMANDS)
