"""A request and its answer flowing at the same time, for imports of any length.

A row's result comes back while later rows are still being sent. A client that reads nothing before it has
sent everything must not stall this, so results it has not fetched wait in a file that spills to disk.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from servicekit.breaker import CircuitBreaker
from servicekit.errors import BadRequest, PayloadTooLarge, UpstreamUnavailable

_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024
# How much of a refused body is still read, so that the client gets its answer and not a reset.
_DRAINED_BYTES = 64 * 1024 * 1024
_SLOW = "The recommender did not answer in time."
_GONE = "The recommender broke off in the middle of its answer."


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """Status, headers (lower-case names), and the body as it arrives."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


def exchange(
    base_url: str,
    method: str,
    path: str,
    *,
    body: IO[bytes],
    headers: Mapping[str, str],
    timeout_seconds: float,
    breaker: CircuitBreaker,
) -> StreamedAnswer:
    """Send `body` chunk by chunk and return as soon as the answer begins.

    Raises `UpstreamUnavailable` when there is no connection or no answer, `BadRequest` or `PayloadTooLarge`
    when the client's body breaks off or goes past its limit; `timeout_seconds` bounds silence.
    """
    if not breaker.allows():
        raise UpstreamUnavailable("The recommender is away; it is tried again shortly.")
    try:
        upstream = _connect(base_url, method, path, headers, timeout_seconds)
    except (OSError, http.client.HTTPException) as error:
        breaker.failed()
        raise UpstreamUnavailable(_SLOW) from error
    sender = _Sender(upstream, body)
    sender.start()
    response = http.client.HTTPResponse(upstream, method=method)
    try:
        response.begin()
    except (OSError, http.client.HTTPException) as error:
        _hang_up(upstream)
        sender.join(timeout_seconds)
        if sender.client_error is not None:
            breaker.succeeded()  # the client broke off, the recommender did nothing wrong
            raise _clients_fault(sender.client_error) from error
        breaker.failed()
        raise UpstreamUnavailable(_SLOW) from error
    if response.status >= 500:
        breaker.failed()
    else:
        breaker.succeeded()
    found = {name.lower(): value for name, value in response.getheaders()}
    if response.status < 400:
        return StreamedAnswer(response.status, found, _chunks(upstream, response, sender, timeout_seconds))
    # A refusal is short, and may come just as we hang up for the same reason: handed on whole or not at all.
    try:
        refusal = response.read()
    except (OSError, http.client.HTTPException) as error:
        _hang_up(upstream)
        sender.join(timeout_seconds)
        if sender.client_error is not None:
            raise _clients_fault(sender.client_error) from error
        raise UpstreamUnavailable(_GONE) from error
    return StreamedAnswer(
        response.status, found, _handed_on(refusal, upstream, response, sender, timeout_seconds)
    )


def _connect(
    base_url: str, method: str, path: str, headers: Mapping[str, str], timeout_seconds: float
) -> socket.socket:
    """A connection on which the head of the request has been sent."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=min(2.0, timeout_seconds))
    connection.connect()
    connected: socket.socket = connection.sock
    connected.settimeout(timeout_seconds)
    connection.putrequest(method, parts.path + path, skip_accept_encoding=True)
    for name, value in {**headers, "Transfer-Encoding": "chunked", "Connection": "close"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connected


def _clients_fault(error: Exception) -> BadRequest | PayloadTooLarge:
    if isinstance(error, RequestEntityTooLarge):
        return PayloadTooLarge("The body is larger than this address takes.")
    return BadRequest("The request broke off before its end.", code="body_truncated")


def _hang_up(connected: socket.socket) -> None:
    """Shut down, and not only close: that alone wakes a thread which waits on the socket."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    connected.close()


class _Sender(threading.Thread):
    """Copies the client's body to the recommender; once that has hung up, reads on and throws away."""

    def __init__(self, upstream: socket.socket, body: IO[bytes]) -> None:
        super().__init__(name="import-sender", daemon=True)
        self._upstream = upstream
        self._body = body
        self.client_error: Exception | None = None

    def run(self) -> None:
        sending, drained = True, 0
        while drained < _DRAINED_BYTES:
            try:
                chunk = self._body.read(_CHUNK)
            except (OSError, ValueError, HTTPException) as error:
                # Without the last chunk the recommender sees a body that broke off, which it is.
                self.client_error = error
                _hang_up(self._upstream)
                return
            if sending:
                sending = self._send(chunk)
            else:
                drained += len(chunk)
            if not chunk:
                return

    def _send(self, chunk: bytes) -> bool:
        frame = b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b"0\r\n\r\n"
        try:
            self._upstream.sendall(frame)
        except OSError:
            return False
        return True


def _chunks(
    upstream: socket.socket, response: http.client.HTTPResponse, sender: _Sender, timeout_seconds: float
) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        inbox = _Inbox(response, spool)
        inbox.start()
        try:
            yield from inbox.read(timeout_seconds)
        finally:
            _hang_up(upstream)
            inbox.join(timeout_seconds)
            _read_on(response, sender, timeout_seconds)
    if inbox.failed or sender.is_alive():
        raise UpstreamUnavailable(_GONE)


def _handed_on(
    refusal: bytes,
    upstream: socket.socket,
    response: http.client.HTTPResponse,
    sender: _Sender,
    timeout_seconds: float,
) -> Iterator[bytes]:
    """The refusal at once, since the client may wait for it before it sends on."""
    try:
        yield refusal
    finally:
        _hang_up(upstream)
        _read_on(response, sender, timeout_seconds)
    if sender.is_alive():
        raise UpstreamUnavailable(_GONE)


def _read_on(response: http.client.HTTPResponse, sender: _Sender, timeout_seconds: float) -> None:
    """The next request of this client begins where this body ends, so it must have been read."""
    response.close()
    sender.join(timeout_seconds)


class _Inbox(threading.Thread):
    """Reads the answer as fast as it comes, whether or not the client fetches it."""

    def __init__(self, response: http.client.HTTPResponse, spool: IO[bytes]) -> None:
        super().__init__(name="import-inbox", daemon=True)
        self._response = response
        self._spool = spool
        self._news = threading.Condition()
        self._written = 0
        self._done = False
        self.failed = False

    def run(self) -> None:
        try:
            while chunk := self._response.read1(_CHUNK):
                with self._news:
                    self._spool.seek(self._written)
                    self._spool.write(chunk)
                    self._written += len(chunk)
                    self._news.notify()
        except (OSError, ValueError, http.client.HTTPException):
            self.failed = True
        finally:
            with self._news:
                self._done = True
                self._news.notify()

    def read(self, timeout_seconds: float) -> Iterator[bytes]:
        """Raises `UpstreamUnavailable` after a silence of `timeout_seconds`."""
        position = 0
        while True:
            with self._news:
                deadline = time.monotonic() + timeout_seconds
                while position == self._written and not self._done:
                    if not self._news.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                        raise UpstreamUnavailable(_GONE)
                if position == self._written:
                    return
                self._spool.seek(position)
                chunk = self._spool.read(min(_CHUNK, self._written - position))
            position += len(chunk)
            yield chunk
