"""Calling an address that somebody outside gave us: guarded, bounded in time and size, never redirected.

Used for webhooks out and for feeds in. No proxy is taken from the environment, since a proxy would resolve
the name once more, and no connection is kept, since its address was judged for one request.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from servicekit.outbound_guard import (
    OutboundPolicy,
    OutboundRefused,
    Resolve,
    Target,
    read_url,
    resolve_public,
    system_resolve,
)

__all__ = ["OutboundAnswer", "OutboundClient", "OutboundFailed", "OutboundPolicy", "OutboundRefused"]

_PIECE = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
Connect = Callable[[tuple[str, int], float], socket.socket]


class OutboundFailed(Exception):
    """The other side could not be reached, was too slow, said too much, or made no sense; try again later."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """Status, headers (lower-case names) and the whole body, gzip undone."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Line:
    """The connection of one request, which a watch may cut from another thread."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.was_cut = False

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """The name is checked against the certificate, whatever address was judged and called."""
        wrapped = context.wrap_socket(self.socket, server_hostname=host, do_handshake_on_connect=False)
        self.socket = wrapped  # before the handshake, so that the watch can cut that too
        wrapped.do_handshake()

    def hang_up(self) -> None:
        """Shut down, and not only close: that alone wakes a thread which waits on the socket."""
        self.was_cut = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """Reading the machine's certificates takes 30 ms, so it is done once, and not before they are needed."""
    return ssl.create_default_context()


class OutboundClient:
    """Raises `OutboundRefused` for an address that may not be called and `OutboundFailed` for a bad answer.

    A status is never an exception, and a redirect is an answer like any other: whoever follows it asks again,
    so that the new address is judged as well.
    """

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        timeout_seconds: float,
        max_bytes: int,
        user_agent: str = "Foreword",
        resolve: Resolve = system_resolve,
        connect: Connect = socket.create_connection,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._timeout = timeout_seconds
        self._max_bytes = max_bytes
        self._user_agent = user_agent
        self._resolve = resolve
        self._connect = connect
        self._tls = tls

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> OutboundAnswer:
        """Send and read the whole answer within `timeout_seconds`, name server, handshake and all."""
        target = read_url(url, self._policy)
        deadline = time.monotonic() + self._timeout
        try:
            addresses = resolve_public(target, self._policy, self._resolve)
            line = _Line(self._reach(addresses, target.port, deadline))
        except (OSError, UnicodeError) as error:
            raise OutboundFailed(f"{target.host} cannot be reached.") from error
        # A socket's own timeout starts anew with every byte; this one does not.
        watch = threading.Timer(max(0.0, deadline - time.monotonic()), line.hang_up)
        watch.daemon = True
        watch.start()
        try:
            return self._exchange(target, line, method, body, headers or {}, max_bytes or self._max_bytes)
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            if line.was_cut:
                raise OutboundFailed(f"{target.host} did not answer in time.") from error
            raise OutboundFailed(f"{target.host} gave no sound answer: {type(error).__name__}.") from error
        finally:
            watch.cancel()
            line.socket.close()

    def _reach(self, addresses: list[str], port: int, deadline: float) -> socket.socket:
        """The first address that takes the connection; each gets its share of the time."""
        last: OSError = TimeoutError("no time left")
        for number, address in enumerate(addresses):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return self._connect((address, port), left / (len(addresses) - number))
            except OSError as error:
                last = error
        raise last

    def _exchange(
        self,
        target: Target,
        line: _Line,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        max_bytes: int,
    ) -> OutboundAnswer:
        line.socket.settimeout(self._timeout)
        if target.scheme == "https":
            line.encrypt(self._tls or _trusted_authorities(), target.host)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = line.socket  # made above, to the address that was judged
        try:
            sent = {
                "Host": target.authority,
                "User-Agent": self._user_agent,
                "Accept-Encoding": "gzip",
                "Connection": "close",
                **headers,
            }
            connection.request(method, target.path, body=body, headers=sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            packed = found.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip")
            read = _read(response, max_bytes, packed)
            if line.was_cut or response.length:  # what ends with the connection looks whole
                raise http.client.IncompleteRead(read)
            return OutboundAnswer(response.status, found, read)
        finally:
            connection.close()


def _read(response: http.client.HTTPResponse, max_bytes: int, packed: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    inflater = zlib.decompressobj(_GZIP) if packed else None
    while piece := response.read(min(_PIECE, max_bytes + 1)):
        while piece:
            part = inflater.decompress(piece, _PIECE) if inflater is not None else piece
            size += len(part)
            if size > max_bytes:
                raise OutboundFailed(f"The answer is larger than {max_bytes:,} bytes.")
            parts.append(part)
            piece = inflater.unconsumed_tail if inflater is not None else b""
    if inflater is not None and parts and not inflater.eof:
        raise zlib.error("the gzip breaks off")
    return b"".join(parts)
