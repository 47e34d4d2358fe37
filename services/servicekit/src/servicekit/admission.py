"""Saying no early: what waited too long, what would crowd others out, is refused before it costs anything.

Refusals are a few microseconds of work, so that a service that is asked ten times what it can do still does
what it can. Nothing here reads a body.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Somebody waits for it on a page; a client that tries again by itself; a stream of many.
Work = Literal["direct", "deferrable", "bulk"]
REASONS = ("waited", "bulk", "deferrable", "share")
REFUSED_ROUTE = "refused"
# Of a service's threads: streams may hold so many, and all that can wait so many together, so that there is
# always room for recommendations.
_BULK_SHARE, _DEFERRABLE_SHARE, _BUSY_SHARE = 0.25, 0.75, 0.75
_ACTIVE_SECONDS = 1.0
_MOST_CALLERS = 10_000
_UNASKED = frozenset({"/livez", "/readyz"})
_DETAILS = {
    "waited": (503, "overloaded", "More is asked of this service than it can do; try again shortly."),
    "bulk": (503, "too_many_imports", "As many imports run as may; try again when one has ended."),
    "deferrable": (503, "too_many_writes", "As many writes are under way as may; try again shortly."),
    "share": (429, "share_used_up", "The service is busy, and this key has its share of it already."),
}
_RETRY_SECONDS = {"waited": 1, "bulk": 5, "deferrable": 1, "share": 1}

_thread = threading.local()


def note_wait(seconds: float) -> None:
    """Told by the server's worker: how long the request that this thread takes up has waited for a thread."""
    _thread.seconds, _thread.refused = seconds, False


def was_refused() -> bool:
    """Whether the request that this thread served last was refused here."""
    return getattr(_thread, "refused", False)


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """What a service knows of its requests: which kind of work one is, and who asks (None: all are one)."""

    work_of: Callable[[WSGIEnvironment], Work]
    caller_of: Callable[[WSGIEnvironment], str | None] = lambda _: None


@dataclass(slots=True)
class _Callers:
    """Requests under way by caller, and who has asked of late."""

    under_way: dict[str, int] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    active: int = 1
    counted_at: float = 0.0


class Admission:
    """A WSGI application around another one. `threads` is how many requests the server serves at once.

    `refused` is told the reason, the method and the status of each refusal.
    """

    def __init__(
        self,
        application: WSGIApplication,
        rules: AdmissionRules,
        refused: Callable[[str, str, int], None],
        *,
        threads: int,
        most_wait_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._rules = rules
        self._refused = refused
        self._most_wait = most_wait_seconds
        self._bulk = max(1, int(threads * _BULK_SHARE))
        self._deferrable = max(1, int(threads * _DEFERRABLE_SHARE))
        self._busy = max(1, int(threads * _BUSY_SHARE))
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[Work, int] = {"direct": 0, "deferrable": 0, "bulk": 0}
        self._callers = _Callers()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in _UNASKED:
            return self._application(environ, start_response)
        work = self._rules.work_of(environ)
        caller = self._rules.caller_of(environ)
        reason = self._enter(work, caller, getattr(_thread, "seconds", 0.0))
        if reason is not None:
            self._refused(reason, environ.get("REQUEST_METHOD", ""), _DETAILS[reason][0])
            _thread.refused = True
            return _refuse(reason, environ, start_response)
        done = _Once(lambda: self._leave(work, caller))
        try:
            answer = self._application(environ, start_response)
        except BaseException:
            done()
            raise
        return _Answer(answer, done)

    def _enter(self, work: Work, caller: str | None, waited: float) -> str | None:
        """→ why it is refused, or None when it has been let in and must be let out again."""
        with self._lock:
            under_way = sum(self._counts.values())
            busy = under_way >= self._busy
            if work == "bulk" and self._counts["bulk"] >= self._bulk:
                return "bulk"
            if work != "direct" and under_way - self._counts["direct"] >= self._deferrable:
                return "deferrable"
            # A wait alone may be a slow machine; with all threads at work it is too much work.
            if busy and waited > self._most_wait:
                return "waited"
            if caller is not None and not self._has_room(caller, busy):
                return "share"
            self._counts[work] += 1
            if caller is not None:
                self._callers.under_way[caller] = self._callers.under_way.get(caller, 0) + 1
            return None

    def _has_room(self, caller: str, busy: bool) -> bool:
        """While all threads are at work, no caller holds more than its part of them."""
        now, callers = self._clock(), self._callers
        if caller in callers.seen or len(callers.seen) < _MOST_CALLERS:
            callers.seen[caller] = now
        if now - callers.counted_at > _ACTIVE_SECONDS:
            callers.seen = {name: at for name, at in callers.seen.items() if now - at <= _ACTIVE_SECONDS}
            callers.counted_at = now
        callers.active = max(1, len(callers.seen))
        return not busy or callers.under_way.get(caller, 0) < max(1, self._threads // callers.active)

    def _leave(self, work: Work, caller: str | None) -> None:
        with self._lock:
            self._counts[work] -= 1
            if caller is not None:
                left = self._callers.under_way[caller] - 1
                if left:
                    self._callers.under_way[caller] = left
                else:
                    del self._callers.under_way[caller]


class _Once:
    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def __call__(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work()


class _Answer:
    """An answer's chunks; what was counted is counted off when the server has sent them all, or gives up."""

    def __init__(self, chunks: Iterable[bytes], done: Callable[[], None]) -> None:
        self._chunks = chunks
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        try:
            close: Any = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._done()


def _refuse(reason: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same problem document as the application's own, without waking it up."""
    status, code, detail = _DETAILS[reason]
    title = "Too many requests" if status == 429 else "A part of Foreword is away"
    body = orjson.dumps(
        {
            "type": f"https://foreword.dev/problems/{code}",
            "title": title,
            "status": status,
            "detail": detail,
            # No route has been found yet, and what stands behind the version may be somebody's id.
            "instance": "/v1/…" if environ.get("PATH_INFO", "").startswith("/v1/") else "/…",
            "code": code,
            "message": detail,
            "request_id": environ.get("HTTP_X_REQUEST_ID", ""),
        }
    )
    phrase = "429 Too Many Requests" if status == 429 else "503 Service Unavailable"
    start_response(
        phrase,
        [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Retry-After", str(_RETRY_SECONDS[reason])),
            # Pages on other origins must be able to read why.
            ("Access-Control-Allow-Origin", "*"),
        ],
    )
    return [body]
