"""gunicorn's threaded worker, which also says how long each request has waited for a thread."""

from __future__ import annotations

import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from servicekit.admission import note_wait, was_refused

# What a refused client still sends is read for so long, that it may hear why; an import sends for hours.
_DRAIN_SECONDS = 0.2


class WaitingWorker(ThreadWorker):  # type: ignore[misc]
    """`servicekit.admission` goes by that wait."""

    def enqueue_req(self, conn: Any) -> None:
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        note_wait(time.monotonic() - conn.queued_at)
        return super().handle(conn)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        if not was_refused():
            return bool(super()._keepalive_after(conn, keepalive))
        return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS))
