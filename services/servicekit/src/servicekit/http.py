"""The one HTTP client between services: pooled, with a deadline, forwarded ids and mapped errors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import orjson
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from servicekit import tracing
from servicekit.breaker import CircuitBreaker
from servicekit.errors import UpstreamUnavailable

# How long the caller will still wait, so that the callee can drop work that nobody waits for.
DEADLINE_HEADER = "X-Deadline-Ms"
_PIECE = 64 * 1024
Body = bytes | IO[bytes] | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """Status, headers (lower-case names) and the whole body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class ServiceClient:
    """Calls one upstream. Connection failures, timeouts and an open breaker raise `UpstreamUnavailable`.

    A status is never an exception: the caller decides what a 404 means. A 5xx other than 503 counts against
    the breaker.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        timeout_seconds: float,
        pool_size: int = 32,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout_seconds
        self.breaker = breaker or CircuitBreaker(threshold=5, cooldown_seconds=2.0, clock=time.monotonic)
        # One upstream, one pool: a manager looks its pool up by address, a fifth of a call's processor time.
        self._pool = urllib3.connection_from_url(self._base_url, maxsize=pool_size, block=False)
        self._prefix = urllib3.util.parse_url(self._base_url).path or ""

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> UpstreamResponse:
        """Send and read the whole answer. A stale kept-alive connection is tried once more if idempotent."""
        timeout = timeout_seconds or self._timeout
        deadline = time.monotonic() + timeout
        response = self._send(method, path, body, headers, timeout)
        found = {name.lower(): value for name, value in response.headers.items()}
        return UpstreamResponse(response.status, found, self._whole(response, deadline))

    def stream(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> tuple[int, Mapping[str, str], Iterator[bytes]]:
        """Send and hand the answer on as it arrives: `(status, headers, chunks)`; memory stays bounded."""
        response = self._send(method, path, body, headers, timeout_seconds or self._timeout)
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, self._chunks(response)

    def _whole(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """The body, piece by piece: a socket's timeout alone lets an answer drip in for ever."""
        parts: list[bytes] = []
        whole = False
        try:
            while part := response.read1(_PIECE):
                parts.append(part)
                if time.monotonic() > deadline:
                    raise UpstreamUnavailable(f"The {self.name} did not answer in time.")
            whole = True
        except HTTPError as error:
            raise UpstreamUnavailable(f"The {self.name} broke off in the middle of its answer.") from error
        finally:
            if not whole:
                self.breaker.failed()
                response.close()
            response.release_conn()
        return b"".join(parts)

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        whole = False
        try:
            yield from response.stream(64 * 1024)
            whole = True
        except HTTPError as error:
            self.breaker.failed()
            raise UpstreamUnavailable(f"The {self.name} broke off in the middle of its answer.") from error
        finally:
            if not whole:
                response.close()  # half an answer is still on it: it must not serve the next call
            response.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        body: Body | None,
        headers: Mapping[str, str] | None,
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        if not self.breaker.allows():
            raise UpstreamUnavailable(f"The {self.name} is away; it is tried again shortly.")
        with tracing.call(self.name, method) as forwarded:
            sent = {**(headers or {}), **forwarded, DEADLINE_HEADER: str(int(timeout * 1000))}
            return self._sent(method, path, body, sent, timeout)

    def _sent(
        self,
        method: str,
        path: str,
        body: Body | None,
        sent: Mapping[str, str],
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        try:
            try:
                response = self._once(method, path, body, sent, timeout)
            except (NewConnectionError, ProtocolError) as error:
                # Bytes may be sent twice without harm to what is stored: every write is idempotent by its id.
                if not (body is None or isinstance(body, bytes)) or not _never_began(error):
                    raise
                response = self._once(method, path, body, sent, timeout)
        except (HTTPError, OSError) as error:
            self.breaker.failed()
            raise UpstreamUnavailable(f"The {self.name} did not answer in time.") from error
        except BaseException:
            self.breaker.failed()  # an open breaker's one trial must end, whatever ended it
            raise
        # A 503 is the upstream's own word that something behind it is away; it is there itself.
        if response.status >= 500 and response.status != 503:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        return response

    def _once(
        self, method: str, path: str, body: Body | None, headers: Mapping[str, str], timeout: float
    ) -> urllib3.BaseHTTPResponse:
        """Statuses, redirects among them, are handed back as they are."""
        return self._pool.urlopen(
            method,
            self._prefix + path,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(1.0, timeout), read=timeout),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )


def _never_began(error: HTTPError) -> bool:
    """Whether the other side was not there, or closed a kept-alive connection as we were about to use it."""
    if isinstance(error, NewConnectionError):
        return True
    cause = error.args[-1] if error.args else None
    return isinstance(cause, ConnectionError)
