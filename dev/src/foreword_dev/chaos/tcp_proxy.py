"""A TCP proxy between the parts: balances over replicas, and makes a line slow or cuts it in the middle."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Sequence

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 1.0
Address = tuple[str, int] | str


class TcpProxy:
    """Listens on a free port of this machine; targets are `(host, port)` or the path of a Unix socket.

    A target that refuses is passed over for the next one, as a balancer does. `delay_seconds` holds every
    chunk back, in both directions.
    """

    def __init__(self, name: str, targets: Sequence[Address]) -> None:
        self.name = name
        self.delay_seconds = 0.0
        self._targets = tuple(targets)
        self._turns = itertools.count()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name=f"proxy-{name}", daemon=True).start()

    def cut(self) -> int:
        """Break every connection off in whatever it is doing. → how many."""
        with self._lock:
            doomed = list(self._open)
            self._open.clear()
        for one in doomed:
            _hang_up(one)
        return len(doomed) // 2

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = self._connect()
        if upstream is None:
            _hang_up(client)
            return
        for one in (client, upstream):
            if one.family == socket.AF_INET:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, upstream}
        back = threading.Thread(target=self._pump, args=(upstream, client), daemon=True)
        back.start()
        self._pump(client, upstream)
        back.join()
        with self._lock:
            self._open -= {client, upstream}
        client.close()
        upstream.close()

    def _connect(self) -> socket.socket | None:
        start = next(self._turns)
        for offset in range(len(self._targets)):
            target = self._targets[(start + offset) % len(self._targets)]
            try:
                if isinstance(target, str):
                    upstream = socket.socket(socket.AF_UNIX)
                    upstream.connect(target)
                else:
                    upstream = socket.create_connection(target, timeout=_CONNECT_SECONDS)
                    upstream.settimeout(None)
                return upstream
            except OSError:
                continue
        return None

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(_CHUNK):
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One side is gone without a word: the other must hear of it too.
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
