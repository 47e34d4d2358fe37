"""Saying no early: what waited too long, what would crowd others out, is refused before it costs anything.

A service that is asked ten times what it can do still does what it can. All is decided from a request's head.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from servicekit.concurrency_limit import ConcurrencyLimit

# Somebody waits for it on a page; a client that tries again by itself; a stream of many.
Work = Literal["direct", "deferrable", "bulk"]
Reason = Literal["waited", "full", "bulk", "deferrable", "share"]
# Of what may be under way at once: streams may be so much of it, and all that can wait so much together;
# there is always room for recommendations.
_BULK_SHARE, _DEFERRABLE_SHARE = 0.25, 0.75
# The other threads are kept for callers who hold less than their part.
_BUSY_SHARE = 0.75
# While recommendations are refused, streams start so far apart.
_STREAMS_APART_SECONDS = 10.0
_ACTIVE_SECONDS = 1.0
_MOST_CALLERS = 10_000
_UNASKED = frozenset({"/livez", "/readyz"})


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a request before its body: `path` is decoded, `authorization` as it was sent."""

    method: str
    path: str
    query: str = ""
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """What a service knows of its requests: which kind of work one is, and who asks (None: all are one)."""

    work_of: Callable[[Head], Work]
    caller_of: Callable[[Head], str | None] = lambda _: None


@dataclass(slots=True, eq=False)
class Admitted:
    """A request that was let in and has to be let out; `among` is the most that was under way meanwhile."""

    work: Work
    caller: str | None
    since: float
    among: int = 1


@dataclass(slots=True)
class _Callers:
    """Requests under way by caller, and who has asked of late."""

    under_way: dict[str, int] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    active: int = 1
    counted_at: float = 0.0


class Admission:
    """Lets requests in and out; `threads` is how many the server serves at once.

    `clock` gives seconds, as `time.monotonic` does; `on_limit` is told how many may be under way at once
    whenever that changes.
    """

    def __init__(
        self,
        rules: AdmissionRules,
        *,
        threads: int,
        most_wait_seconds: float,
        slow_seconds: float,
        clock: Callable[[], float],
        on_limit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._rules = rules
        self._threads = threads
        self._most_wait = most_wait_seconds
        self._limit = ConcurrencyLimit(threads, slow_seconds)
        self._clock = clock
        self._on_limit = on_limit
        self._lock = threading.Lock()
        self._counts: dict[Work, int] = {"direct": 0, "deferrable": 0, "bulk": 0}
        self._inside: set[Admitted] = set()
        self._callers = _Callers()
        self._refused_at = self._stream_at = -math.inf

    @property
    def limit(self) -> int:
        """How many may be under way at once now."""
        return self._limit.now

    @property
    def is_full(self) -> bool:
        """Whether most would be refused now that do not even wait for a thread; read without the lock."""
        return self._limit.is_lowered and self._under_way >= self._limit.now

    def refuse(self, head: Head) -> Reason | None:
        """Why this request cannot be let in now, as far as it hasn't waited; None lets nothing in."""
        work, caller = self._rules.work_of(head), self._rules.caller_of(head)
        with self._lock:
            return self._why_not(head, work, caller, 0.0)

    def enter(self, head: Head, waited: float) -> Admitted | Reason:
        """Let a request in that has waited so many seconds for a thread, or say why not."""
        work, caller = self._rules.work_of(head), self._rules.caller_of(head)
        with self._lock:
            reason = self._why_not(head, work, caller, waited)
            if reason is not None:
                return reason
            now = self._clock()
            if work == "bulk":
                self._stream_at = now
            self._counts[work] += 1
            if caller is not None:
                self._callers.under_way[caller] = self._callers.under_way.get(caller, 0) + 1
            one = Admitted(work, caller, now - waited)
            self._inside.add(one)
            for other in self._inside:
                other.among = max(other.among, self._under_way)
            return one

    def leave(self, one: Admitted) -> None:
        """It has been answered, or given up."""
        with self._lock:
            self._inside.remove(one)
            self._counts[one.work] -= 1
            if one.work == "direct":
                before = self._limit.now
                self._limit.took(self._clock() - one.since, one.among)
                if self._limit.now != before:
                    self._on_limit(self._limit.now)
            if one.caller is not None:
                left = self._callers.under_way[one.caller] - 1
                if left:
                    self._callers.under_way[one.caller] = left
                else:
                    del self._callers.under_way[one.caller]

    def _why_not(self, head: Head, work: Work, caller: str | None, waited: float) -> Reason | None:
        if head.path in _UNASKED:
            # A service that is busy is alive, and says so.
            return None
        now = self._clock()
        reason = self._reason(work, caller, waited, now)
        if reason is not None and work == "direct":
            self._refused_at = now
        return reason

    def _reason(self, work: Work, caller: str | None, waited: float, now: float) -> Reason | None:
        counts, limit = self._counts, self._limit.now
        if work == "bulk":
            if counts["bulk"] >= _part(limit, _BULK_SHARE):
                return "bulk"
            crowded = now - self._refused_at <= _ACTIVE_SECONDS
            return "bulk" if crowded and now - self._stream_at < _STREAMS_APART_SECONDS else None
        can_wait = counts["deferrable"] + counts["bulk"]
        if work == "deferrable" and (
            counts["deferrable"] >= _part(limit, _DEFERRABLE_SHARE)
            or can_wait >= _part(self._threads, _DEFERRABLE_SHARE)
        ):
            return "deferrable"
        under_way = self._under_way
        busy = under_way >= limit or len(self._inside) >= _part(self._threads, _BUSY_SHARE)
        # A wait alone may be a slow machine; while a service is busy it is too much work.
        if busy and waited > self._most_wait:
            return "waited"
        fair = limit if caller is None else max(1, limit // self._active(caller, now))
        own = under_way if caller is None else self._callers.under_way.get(caller, 0)
        if own < fair:
            return None
        if busy and fair < limit:
            return "share"
        return "full" if under_way >= limit else None

    @property
    def _under_way(self) -> int:
        """What counts against the limit: streams began when there was room, and may go on for hours."""
        return len(self._inside) - self._counts["bulk"]

    def _active(self, caller: str, now: float) -> int:
        """→ how many callers have asked within the last second, this one among them."""
        callers = self._callers
        if caller in callers.seen or len(callers.seen) < _MOST_CALLERS:
            callers.seen[caller] = now
        if now - callers.counted_at > _ACTIVE_SECONDS:
            callers.seen = {name: at for name, at in callers.seen.items() if now - at <= _ACTIVE_SECONDS}
            callers.counted_at = now
        return max(1, len(callers.seen))


def _part(limit: int, share: float) -> int:
    return max(1, int(limit * share))
