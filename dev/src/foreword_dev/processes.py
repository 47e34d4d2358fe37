"""Runs the services as child processes: starts, watches and stops them, each with a log file of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import urllib3
from urllib3.exceptions import HTTPError

from foreword_dev.settings import ConfigurationMistake, Ports
from foreword_dev.stopping import undisturbed

_STOP_SECONDS = 25.0


class ServiceDied(Exception):
    """A service ended by itself; the message ends with its last words."""


@dataclass(slots=True)
class Service:
    """One running service."""

    name: str
    ports: Ports
    log_path: Path
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.service}"

    def is_ready(self, http: urllib3.PoolManager) -> bool:
        try:
            return http.request("GET", f"{self.url}/readyz", timeout=2.0, retries=False).status == 200
        except HTTPError:
            return False

    def check_alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise ServiceDied(f"The {self.name} ended with code {code}. {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return f"The end of {self.log_path}:\n  " + "\n  ".join(lines[-8:])


def require_free(port: int, name: str) -> None:
    """One clear sentence instead of a stack trace in a log file."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the services listen on all addresses too
        except OSError as error:
            raise ConfigurationMistake(
                f"Port {port} ({name}) is in use: stop what runs there, or choose another with "
                f"FOREWORD_{name.upper().replace(' METRICS', '_METRICS')}_PORT."
            ) from error


class Services:
    """The services of one run; leaving the block stops those that run, the last started first."""

    def __init__(self, logs_dir: Path) -> None:
        self._logs_dir = logs_dir
        self.running: list[Service] = []

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, ports: Ports, environment: Mapping[str, str]) -> Service:
        self._logs_dir.mkdir(parents=True, exist_ok=True)
        path = self._logs_dir / f"{name}.log"
        log = path.open("wb")
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:servicekit.gunicorn_conf",
            f"{name}.wsgi:app",
        ]
        # A Ctrl-C between a start and its entry in the list would leave a process that nobody stops.
        with undisturbed():
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    **environment,
                    "FOREWORD_PORT": str(ports.service),
                    "FOREWORD_METRICS_PORT": str(ports.metrics),
                    "PYTHONUNBUFFERED": "1",
                },
                # Ctrl-C reaches the whole foreground group; the services are stopped by us, in order.
                start_new_session=True,
            )
            service = Service(name, ports, path, process, log)
            self.running.append(service)
        return service

    def check_alive(self) -> None:
        for service in self.running:
            service.check_alive()

    def stop(self) -> None:
        """Ask all to finish what they do, then wait; what does not end in time is killed."""
        for service in reversed(self.running):
            if service.process.poll() is None:
                service.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for service in reversed(self.running):
            try:
                service.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(service.process.pid, signal.SIGKILL)
                service.process.wait()
            service.log.close()
        self.running.clear()
