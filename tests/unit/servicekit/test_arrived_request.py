"""What is taken for one whole request when a service says no at once; anything unusual is nobody's."""

from __future__ import annotations

import io

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from servicekit.arrived_request import arrived

USUAL = (
    b"POST /v1/recommendations?x=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nX-Request-ID: r-1\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def test_a_usual_request_is_read_as_far_as_it_takes() -> None:
    asked = arrived(USUAL)
    assert asked is not None
    assert (asked.head.method, asked.head.path, asked.head.query) == ("POST", "/v1/recommendations", "x=1")
    assert (asked.head.authorization, asked.request_id, asked.keep_alive) == ("Bearer k", "r-1", True)


def test_a_client_that_wants_to_go_is_let_go() -> None:
    asked = arrived(b"GET /v1/assets%3Aimport HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert asked is not None
    assert (asked.head.path, asked.keep_alive) == ("/v1/assets:import", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        USUAL[:-1],
        USUAL + b"G",
        USUAL + USUAL,
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_one_whole_usual_request_is_left_to_the_server(data: bytes) -> None:
    assert arrived(data) is None


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"Host", b"content-length", b"Content-Length ", b"Transfer-Encoding", b"X-A", b""]),
        st.sampled_from([b"0", b"1", b"7", b"chunked", b" 1", b"1 ", b"+1", b"a\rb", b"a\nb", b"\xff"]),
    ),
    max_size=4,
)


@settings(max_examples=500)
@given(FIELDS, st.binary(max_size=8), st.sampled_from([b"GET", b"POST", b"get", b"HEAD"]))
def test_what_it_measures_gunicorn_measures_alike(
    fields: list[tuple[bytes, bytes]], body: bytes, method: bytes
) -> None:
    """Where the two differed, what one takes for a body the other would take for somebody's next request."""
    head = b"".join(name + b":" + value + b"\r\n" for name, value in fields)
    data = method + b" /p HTTP/1.1\r\n" + head + b"\r\n" + body
    if arrived(data) is None:
        return
    parser = RequestParser(Config(), iter([data]), ("127.0.0.1", 1))
    request = next(parser)
    assert (request.method, request.path) == (method.decode(), "/p")
    assert request.body.read() == body
    assert isinstance(request.unreader.buf, io.BytesIO)
    assert request.unreader.buf.getvalue() == b""
