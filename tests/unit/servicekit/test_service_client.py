"""The one HTTP client: stale connections, deadlines, refusals that must be read, and the breaker."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from servicekit import request_context
from servicekit.breaker import CircuitBreaker
from servicekit.errors import UpstreamUnavailable
from servicekit.http import DEADLINE_HEADER, ServiceClient
from unit.servicekit.raw_server import answer, read_request, served


def client(url: str, timeout: float = 5.0, threshold: int = 100) -> ServiceClient:
    breaker = CircuitBreaker(threshold=threshold, cooldown_seconds=60, clock=time.monotonic)
    return ServiceClient("stand-in", url, timeout_seconds=timeout, breaker=breaker)


def test_a_connection_that_went_stale_is_tried_once_more() -> None:
    requests: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        requests.append(read_request(connection))
        connection.sendall(answer("200 OK", b'{"n":1}'))
        if number == 0:
            requests.append(read_request(connection))  # taken, and closed without a word
            return
        requests.append(read_request(connection))

    with served(script) as url:
        ours = client(url)
        assert ours.request("POST", "/a", body=b"1").json() == {"n": 1}
        assert ours.request("POST", "/a", body=b"2").json() == {"n": 1}
    assert [r.rpartition(b"\r\n\r\n")[2] for r in requests[:3]] == [b"1", b"2", b"2"]


def test_a_server_that_hangs_up_on_everybody_is_away_after_two_tries() -> None:
    seen: list[int] = []

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        seen.append(number)

    with served(script) as url, pytest.raises(UpstreamUnavailable):
        client(url).request("POST", "/a", body=b"1")
    assert len(seen) <= 2


def test_a_silent_server_ends_with_the_deadline_and_is_asked_once() -> None:
    seen: list[bytes] = []
    done = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        seen.append(read_request(connection))
        done.wait(10)

    with served(script) as url:
        started = time.monotonic()
        with pytest.raises(UpstreamUnavailable):
            client(url).request("POST", "/a", body=b"1", timeout_seconds=0.3)
        assert time.monotonic() - started < 5
        done.set()
    assert len(seen) == 1
    assert f"{DEADLINE_HEADER}: 300".lower().encode() in seen[0].lower()


@pytest.mark.slow
def test_a_server_that_drips_ends_with_the_deadline() -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    with served(script) as url:
        started = time.monotonic()
        with pytest.raises(UpstreamUnavailable):
            client(url).request("GET", "/a", timeout_seconds=0.4)
        assert time.monotonic() - started < 5


def test_nobody_there_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UpstreamUnavailable):
        client(f"http://127.0.0.1:{port}").request("GET", "/a")


@pytest.mark.parametrize("status", ["413 Too Large", "429 Too Many Requests", "503 Unavailable", "500 Oops"])
def test_documents_of_refusals_are_not_lost(status: str) -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(answer(status, b'{"code":"why"}', Retry_After="7"))

    with served(script) as url:
        found = client(url).request("POST", "/a", body=b"1")
    assert (found.status, found.json(), found.headers["retry-after"]) == (
        int(status[:3]),
        {"code": "why"},
        "7",
    )


def test_redirects_are_handed_back() -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(answer("302 Found", b"", Location="http://127.0.0.1:1/x"))

    with served(script) as url:
        assert client(url).request("GET", "/a").status == 302


def test_half_an_answer_is_no_answer() -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    with served(script) as url:
        ours = client(url)
        with pytest.raises(UpstreamUnavailable):
            ours.request("GET", "/a")
        status, _, chunks = ours.stream("GET", "/a")
        assert status == 200
        with pytest.raises(UpstreamUnavailable):
            b"".join(chunks)


def test_ids_are_forwarded() -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer("200 OK"))

    context = request_context.from_headers("req-1", f"00-{'a' * 32}-{'b' * 16}-01")
    with served(script) as url:
        request_context.enter(context)
        try:
            client(url).request("GET", "/a")
        finally:
            request_context.enter(None)
    head = seen[0].lower()
    assert b"x-request-id: req-1" in head
    assert f"traceparent: 00-{'a' * 32}-{context.span_id}-01".encode() in head
    assert context.span_id != "b" * 16


def test_after_failures_in_a_row_nobody_is_asked() -> None:
    seen: list[int] = []

    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        seen.append(number)
        connection.sendall(answer("500 Oops", Connection="close"))

    with served(script) as url:
        ours = client(url, threshold=3)
        for _ in range(3):
            assert ours.request("GET", "/a").status == 500
        with pytest.raises(UpstreamUnavailable, match="tried again shortly"):
            ours.request("GET", "/a")
    assert len(seen) == 3


def test_the_breaker_opens_tries_once_and_closes() -> None:
    now = [0.0]
    breaker = CircuitBreaker(threshold=2, cooldown_seconds=10, clock=lambda: now[0])
    breaker.failed()
    assert breaker.allows()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert (breaker.is_open, breaker.allows()) == (True, False)
    now[0] = 10.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    now[0] = 19.9
    assert not breaker.allows()
    now[0] = 20.0
    assert breaker.allows()
    breaker.succeeded()
    assert (breaker.is_open, breaker.allows(), breaker.allows()) == (False, True, True)
