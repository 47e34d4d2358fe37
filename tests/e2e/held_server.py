"""A real server over `held_app`, and clients that keep their connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.foreword_process import REPOSITORY, metric, wait_until
from foreword_dev.free_ports import free_ports

THREADS = 4
LEAST = 1
# Far more than an echo takes, however busy the machine of the tests is.
HELD_SECONDS = 1.0


class Line:
    """One connection of a client that keeps it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, path: str, body: bytes = b"", more: str = "", method: str = "POST") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self.socket.sendall(head.encode() + body)

    def answer(self) -> tuple[int, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65_536)
            assert more, f"the connection ended after {data!r}"
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65_536)
        assert len(body) == length, "no byte of another answer"
        return int(head[9:12]), body

    def ask(self, path: str, body: bytes = b"", more: str = "") -> tuple[int, bytes]:
        self.send(path, body, more)
        return self.answer()


class Server:
    def __init__(self, folder: Path, slow_seconds: float = 0.03) -> None:
        self.port, self.metrics_port = free_ports(2)
        self.release = folder / "release"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf", "e2e.held_app:app"],
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY / "tests"),
                "HELD_APP_RELEASE": str(self.release),
                "FOREWORD_BIND": "127.0.0.1",
                "FOREWORD_PORT": str(self.port),
                "FOREWORD_METRICS_PORT": str(self.metrics_port),
                "FOREWORD_THREADS": str(THREADS),
                "FOREWORD_SLOW_SECONDS": str(slow_seconds),
            },
        )

    def make_slow(self) -> None:
        """Until no more than the least is taken on at once: many that are slow, where few are quick."""
        wait_until(self.answers, 60, "the server answers")
        line = Line(self.port)
        for _ in range(50):
            assert line.ask("/echo", b"quick") == (200, b"quick")
        for _ in range(60):
            if self.limit == LEAST:
                return
            with self.full():
                time.sleep(HELD_SECONDS)
        raise AssertionError(f"{self.limit} are still taken on at once")

    @property
    def limit(self) -> int:
        return int(metric(self.metrics_port, "foreword_held_http_room_requests"))

    def answers(self) -> bool:
        try:
            return Line(self.port).ask("/echo", b"hello") == (200, b"hello")
        except OSError:
            return False

    @contextmanager
    def full(self) -> Iterator[list[Line]]:
        """As many held as may be under way; → their connections. They are released at the end."""
        holders = [Line(self.port) for _ in range(self.limit)]
        for line in holders:
            line.send("/held")
        in_flight = "foreword_held_http_requests_in_flight"
        wait_until(lambda: metric(self.metrics_port, in_flight) == len(holders), 10, "full")
        try:
            yield holders
        finally:
            self.release.touch()
            assert {line.answer() for line in holders} == {(200, b"released")}
            self.release.unlink()
