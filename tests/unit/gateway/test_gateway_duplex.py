"""A streamed request and its answer, before an upstream on a bare socket that says what it is told to."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from gateway import duplex
from servicekit.breaker import CircuitBreaker
from servicekit.errors import PayloadTooLarge, UpstreamUnavailable

REFUSED = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 20\r\n\r\n"


@contextmanager
def upstream(said: bytes, ended: threading.Event | None = None) -> Iterator[str]:
    """Answers the first bytes of a request with what it is told to say, and leaves once `ended`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        client.recv(65_536)
        client.sendall(said)
        if ended is not None:
            ended.wait(10)
        client.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        if ended is not None:
            ended.set()
        thread.join(10)
        listener.close()


def exchanged(url: str, body: io.RawIOBase | io.BytesIO) -> duplex.StreamedAnswer:
    return duplex.exchange(
        url,
        "POST",
        "/v1/assets:import",
        body=body,  # type: ignore[arg-type]
        headers={},
        timeout_seconds=5.0,
        breaker=CircuitBreaker(threshold=5, cooldown_seconds=1.0, clock=time.monotonic),
    )


class TooLong(io.RawIOBase):
    """A client's body that goes past its limit in the middle."""

    def __init__(self) -> None:
        self.pieces = iter([b"x" * 1024])

    def read(self, size: int = -1, /) -> bytes:
        time.sleep(0.1)  # the refusal's head has come by now
        try:
            return next(self.pieces)
        except StopIteration:
            raise RequestEntityTooLarge from None


def test_a_refusal_that_comes_whole_is_handed_on() -> None:
    with upstream(REFUSED + b"x" * 20, threading.Event()) as url:
        answer = exchanged(url, io.BytesIO(b"a body"))
    assert (answer.status, b"".join(answer.chunks)) == (413, b"x" * 20)


def test_a_refusal_cut_off_because_the_body_is_too_long_says_that_it_is_too_long() -> None:
    """Both find the body too long: the upstream says so, and we hang up before its words have come."""
    with upstream(REFUSED, threading.Event()) as url, pytest.raises(PayloadTooLarge):
        exchanged(url, TooLong())


def test_a_refusal_cut_off_by_the_upstream_is_not_handed_on_in_part() -> None:
    with upstream(REFUSED + b"x" * 5) as url, pytest.raises(UpstreamUnavailable):
        exchanged(url, io.BytesIO(b"a body"))
