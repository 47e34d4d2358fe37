"""gunicorn's threaded worker, which lets a request in, or says no before a WSGI application hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from gunicorn.util import http_date
from gunicorn.workers.gthread import ThreadWorker

from servicekit import refusal
from servicekit.admission import Admission, Admitted, Head, Reason
from servicekit.arrived_request import arrived
from servicekit.kept_connections import KeptConnections

# What a refused client still sends is read for so long, that it may hear why; an import sends for hours.
_DRAIN_SECONDS = 0.2
# A recommendation's request is well below; whatever is longer goes the usual way.
_LOOKED_AT_BYTES = 16_384


class AdmittingWorker(ThreadWorker):  # type: ignore[misc]
    """It goes by how long each request has waited for a thread.

    `admission` is set once the application is loaded, or stays None where it has no rules; `on_refusal` is
    told the reason, the method and the status of each refusal.
    """

    admission: Admission | None = None
    on_refusal: Callable[[str, str, int], None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.keepalived_conns: KeptConnections[Any] = KeptConnections()
        self._own = threading.local()

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A client asks again: while there is no room it is told so here, without a thread."""
        admission = self.admission
        if admission is None or not admission.is_full or not self._says_no(conn, admission):
            super().on_client_socket_readable(conn, client)

    def _says_no(self, conn: Any, admission: Admission) -> bool:
        """Whether the request was refused; otherwise nothing has happened yet. Never waits for the client."""
        data = self._arrived_bytes(conn)
        asked = arrived(data)
        reason = None if asked is None else admission.refuse(asked.head)
        if asked is None or reason is None:
            return False
        answer = self._refusal(reason, asked.head, asked.request_id, asked.keep_alive)
        try:
            conn.sock.recv(len(data))
            whole = conn.sock.send(answer) == len(answer)
        except OSError:
            whole = False
        if whole and asked.keep_alive:
            conn.set_timeout()
            self.keepalived_conns.move_to_end(conn)
        else:
            self._let_go(conn)
        return True

    def _arrived_bytes(self, conn: Any) -> bytes:
        """What has come on a connection, and stays there; nothing where it cannot be looked at."""
        if self.cfg.is_ssl or not self.alive:
            return b""
        try:
            return bytes(conn.sock.recv(_LOOKED_AT_BYTES, socket.MSG_PEEK))
        except OSError:
            return b""

    def _let_go(self, conn: Any) -> None:
        self.keepalived_conns.remove(conn)
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def enqueue_req(self, conn: Any) -> None:
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        self._own.waited, self._own.refused = time.monotonic() - conn.queued_at, False
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        if self.admission is None:
            return bool(super().handle_request(req, conn))
        headers = dict(req.headers)
        head = Head(req.method, unquote(req.path), req.query or "", headers.get("AUTHORIZATION", ""))
        found = self.admission.enter(head, self._own.waited)
        if isinstance(found, Admitted):
            try:
                return bool(super().handle_request(req, conn))
            finally:
                self.admission.leave(found)
        self._own.refused = True
        keep_alive = bool(self.alive and not req.should_close())
        conn.sock.sendall(self._refusal(found, head, headers.get("X-REQUEST-ID", ""), keep_alive))
        return keep_alive

    def _refusal(self, reason: Reason, head: Head, request_id: str, keep_alive: bool) -> bytes:
        self.on_refusal(reason, head.method, refusal.status_of(reason))
        return refusal.answer(
            reason,
            method=head.method,
            path=head.path,
            request_id=request_id,
            date=http_date(),
            keep_alive=keep_alive,
        )

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        if not self._own.refused:
            return bool(super()._keepalive_after(conn, keepalive))
        return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS))
