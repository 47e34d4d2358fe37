"""Starts the embedder under gunicorn, as production does, on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from foreword_dev.free_ports import free_ports


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, its process, and the status of each readiness probe until the first 200."""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]
    probed: list[int] = field(default_factory=list)


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A ready embedder with these environment settings; it is told to end when the block does."""
    port, metrics_port = free_ports(2)
    environment = {
        **os.environ,
        "FOREWORD_BIND": "127.0.0.1",
        "FOREWORD_PORT": str(port),
        "FOREWORD_METRICS_PORT": str(metrics_port),
        **settings,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf", "embedder.wsgi:app"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}", process)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_until_ready(server: Server) -> None:
    for _ in range(2400):
        if server.process.poll() is not None:
            raise RuntimeError(f"gunicorn ended with {server.process.returncode}")
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=5):
                server.probed.append(200)
                return
        except urllib.error.HTTPError as error:
            server.probed.append(error.code)
        except OSError:  # not listening yet
            pass
        time.sleep(0.05)
    raise TimeoutError("the embedder was not ready after two minutes")
