"""The answer to a request that isn't let in, made without waking the application."""

from __future__ import annotations

import orjson

from servicekit.admission import Reason

# Reason: status, code, what is said, and in how many seconds to come back.
_SAID: dict[Reason, tuple[int, str, str, int]] = {
    "waited": (503, "overloaded", "More is asked of this service than it can do; try again shortly.", 1),
    "full": (503, "overloaded", "More is asked of this service than it can do; try again shortly.", 1),
    "bulk": (503, "too_many_imports", "As many imports run as may; try again when one has ended.", 5),
    "deferrable": (503, "too_many_writes", "As many writes are under way as may; try again shortly.", 1),
    "share": (429, "share_used_up", "The service is busy, and this key has its share of it already.", 1),
}
_LINES = {503: "503 Service Unavailable", 429: "429 Too Many Requests"}
_TITLES = {503: "A part of Foreword is away", 429: "Too many requests"}


def status_of(reason: Reason) -> int:
    return _SAID[reason][0]


def answer(reason: Reason, *, method: str, path: str, request_id: str, date: str, keep_alive: bool) -> bytes:
    """Head and body of the same problem document as the application's own; `date` as HTTP writes it."""
    status, code, detail, seconds = _SAID[reason]
    body = orjson.dumps(
        {
            "type": f"https://foreword.dev/problems/{code}",
            "title": _TITLES[status],
            "status": status,
            "detail": detail,
            # No route has been found yet, and what stands behind the version may be somebody's id.
            "instance": "/v1/…" if path.startswith("/v1/") else "/…",
            "code": code,
            "message": detail,
            "request_id": request_id,
        }
    )
    head = (
        f"HTTP/1.1 {_LINES[status]}\r\n"
        f"Date: {date}\r\n"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Retry-After: {seconds}\r\n"
        # Pages on other origins must be able to read why.
        "Access-Control-Allow-Origin: *\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if method == "HEAD" else body)
