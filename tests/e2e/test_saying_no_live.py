"""A real server with as much under way as it may says no over real connections, and goes on with them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import orjson
import pytest

from e2e.foreword_process import metric
from e2e.held_server import Line, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("held"))
    try:
        made.make_slow()
        yield made
    finally:
        made.process.terminate()
        made.process.wait(30)


def test_a_kept_connection_is_refused_without_a_thread_and_served_later(server: Server) -> None:
    line = Line(server.port)
    assert line.ask("/echo", b"1") == (200, b"1")
    with server.full():
        began = time.monotonic()
        for number in range(50):
            status, body = line.ask("/echo", b"x" * number, "X-Request-ID: mine\r\n")
            document = orjson.loads(body)
            assert (status, document["code"], document["request_id"]) == (503, "overloaded", "mine")
        assert time.monotonic() - began < 5
    assert line.ask("/echo", b"2") == (200, b"2")
    assert metric(server.metrics_port, "foreword_held_http_refused_total", reason="full") >= 50


def test_probes_are_answered_beside_what_is_under_way(server: Server) -> None:
    line = Line(server.port)
    with server.full():
        for _ in range(3):
            line.send("/livez", method="GET")
            assert line.answer() == (200, b"alive")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-", b"Length: 2\r\n\r\n", b"ok"],
        [b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"],
    ],
)
def test_what_comes_in_pieces_is_not_taken_for_a_request(server: Server, pieces: list[bytes]) -> None:
    line = Line(server.port)
    assert line.ask("/echo", b"1") == (200, b"1")
    with server.full():
        for piece in pieces:
            line.socket.sendall(piece)
            time.sleep(0.1)
    status, body = line.answer()
    assert status in (200, 503)
    if status == 200:
        assert body == b"ok"
    assert line.ask("/echo", b"2") == (200, b"2")


def test_two_requests_in_one_packet_get_two_answers_in_order(server: Server) -> None:
    line = Line(server.port)
    assert line.ask("/echo", b"1") == (200, b"1")
    one = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
    with server.full():
        line.socket.sendall(one + b"a" + one + b"b")
    data = b""
    while data.count(b"HTTP/1.1 ") < 2 or not data.endswith((b"b", b"}")):
        data += line.socket.recv(65_536)
    assert data.count(b"HTTP/1.1 ") == 2
    assert line.ask("/echo", b"2") == (200, b"2")


def test_a_client_that_leaves_or_wants_to_leave_is_let_go(server: Server) -> None:
    gone, going = Line(server.port), Line(server.port)
    for line in (gone, going):
        assert line.ask("/echo", b"1") == (200, b"1")
    with server.full():
        assert going.ask("/echo", b"1", "Connection: close\r\n")[0] == 503
        assert going.socket.recv(1) == b""
        gone.socket.close()
    assert Line(server.port).ask("/echo", b"2") == (200, b"2")


def test_a_client_that_does_not_read_holds_nobody_up(server: Server) -> None:
    """Thousands of refusals that nobody reads fill the connection's buffer; then it is closed."""
    deaf, other = Line(server.port), Line(server.port)
    for line in (deaf, other):
        assert line.ask("/echo", b"1") == (200, b"1")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with server.full():
        deaf.socket.settimeout(0.5)
        try:
            for _ in range(20_000):
                deaf.send("/echo", b"1")
        except OSError:
            pass
        began = time.monotonic()
        assert other.ask("/echo", b"1")[0] == 503
        assert time.monotonic() - began < 2
    deaf.socket.close()
    assert other.ask("/echo", b"2") == (200, b"2")
