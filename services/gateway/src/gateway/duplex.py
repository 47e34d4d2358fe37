"""A request and its answer flowing at the same time, for imports of any length.

A row's result comes back while later rows are still being sent. A client that reads nothing before it has
sent everything must not stall this, so results it has not fetched wait in a file that spills to disk.
"""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from servicekit.breaker import CircuitBreaker
from servicekit.errors import UpstreamUnavailable

_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024
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

    Raises `UpstreamUnavailable` when there is no connection or no answer; `timeout_seconds` bounds silence.
    """
    if not breaker.allows():
        raise UpstreamUnavailable("The recommender is away; it is tried again shortly.")
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=min(2.0, timeout_seconds))
    try:
        connection.connect()
        connection.sock.settimeout(timeout_seconds)
        connection.putrequest(method, parts.path + path, skip_accept_encoding=True)
        for name, value in {**headers, "Transfer-Encoding": "chunked", "Connection": "close"}.items():
            connection.putheader(name, value)
        connection.endheaders()
    except OSError as error:
        breaker.failed()
        connection.close()
        raise UpstreamUnavailable("The recommender did not answer in time.") from error
    sender = _Sender(connection, body)
    sender.start()
    try:
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        sender.join(timeout_seconds)
        if sender.client_left:
            breaker.succeeded()
            raise UpstreamUnavailable("The request broke off before its end.") from error
        breaker.failed()
        raise UpstreamUnavailable("The recommender did not answer in time.") from error
    if response.status >= 500:
        breaker.failed()
    else:
        breaker.succeeded()
    found = {name.lower(): value for name, value in response.getheaders()}
    return StreamedAnswer(response.status, found, _chunks(connection, response, sender, timeout_seconds))


class _Sender(threading.Thread):
    """Copies the client's body to the recommender; once that has hung up, reads on and throws away.

    Reading on keeps the connection to the client in step, so that it gets the answer it waits for.
    """

    def __init__(self, connection: http.client.HTTPConnection, body: IO[bytes]) -> None:
        super().__init__(name="import-sender", daemon=True)
        self._connection = connection
        self._body = body
        self.client_left = False

    def run(self) -> None:
        sending = True
        while True:
            try:
                chunk = self._body.read(_CHUNK)
            except (OSError, ValueError):
                # The client went away: without the last chunk the recommender sees a broken body.
                self.client_left = True
                self._connection.close()
                return
            if sending:
                sending = self._send(chunk)
            if not chunk:
                return

    def _send(self, chunk: bytes) -> bool:
        frame = b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b"0\r\n\r\n"
        try:
            self._connection.send(frame)
        except (OSError, http.client.HTTPException):
            return False
        return True


def _chunks(
    connection: http.client.HTTPConnection,
    response: http.client.HTTPResponse,
    sender: _Sender,
    timeout_seconds: float,
) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        inbox = _Inbox(response, spool)
        inbox.start()
        try:
            yield from inbox.read(timeout_seconds)
        finally:
            connection.close()
            inbox.join(timeout_seconds)
            sender.join(timeout_seconds)
    if inbox.failed:
        raise UpstreamUnavailable(_GONE)


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
