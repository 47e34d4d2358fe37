"""A thread stays for a moment with a connection that was just served, and nobody else has to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.foreword_process import wait_until
from e2e.held_server import THREADS, Line, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, slow_seconds=60)
    try:
        wait_until(made.answers, 60, "the server answers")
        yield made
    finally:
        made.process.terminate()
        made.process.wait(30)


def test_requests_are_answered_in_order_whenever_they_come(server: Server) -> None:
    line = Line(server.port)
    for number, pause in enumerate([0.0, 0.001, 0.003, 0.004, 0.005, 0.02] * 10):
        time.sleep(pause)
        assert line.ask("/echo", b"%d" % number) == (200, b"%d" % number)


def test_requests_that_come_together_are_each_answered(server: Server) -> None:
    line = Line(server.port)
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
    for _ in range(20):
        line.socket.sendall(head + b"1" + head + b"2")
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 2 or not data.endswith(b"2"):
            data += line.socket.recv(65_536)
        first, second = data.split(b"HTTP/1.1 200 OK")[1:]
        assert (first[-1:], second[-1:]) == (b"1", b"2")


def test_a_newcomer_is_served_beside_clients_that_ask_on_and_on(server: Server) -> None:
    ended = threading.Event()
    counts = [0] * (2 * THREADS)

    def ask_on_and_on(number: int) -> None:
        line = Line(server.port)
        while not ended.is_set():
            assert line.ask("/echo", b"again") == (200, b"again")
            counts[number] += 1

    clients = [threading.Thread(target=ask_on_and_on, args=(n,)) for n in range(len(counts))]
    for client in clients:
        client.start()
    try:
        for _ in range(20):
            began = time.monotonic()
            assert Line(server.port).ask("/echo", b"new") == (200, b"new")
            assert time.monotonic() - began < 2.0
    finally:
        ended.set()
        for client in clients:
            client.join(10)
    assert min(counts) > 0, "each of them was served"


def test_clients_that_ask_on_and_on_do_not_keep_a_server_from_ending(server: Server) -> None:
    line = Line(server.port)
    server.process.terminate()
    ended = time.monotonic() + 20
    try:
        while time.monotonic() < ended:
            assert line.ask("/echo", b"again")[0] == 200
    except (OSError, AssertionError):
        pass  # it was told "Connection: close"
    assert server.process.wait(20) == 0
    assert time.monotonic() < ended
