"""How many requests at once a service takes on: fewer while they only wait for one another."""

from __future__ import annotations

# Where more than this share are slow, fewer are taken on.
_SLOW_SHARE = 0.02
_STEP = 0.1
_SMALL_STEP = _STEP * _SLOW_SHARE / (1.0 - _SLOW_SHARE)
_LEAST_SHARE, _FEW_SHARE = 0.25, 0.125
# Times what a request takes among few: above it one is slow; below it nobody stood in its way.
_SLOW_TIMES, _FREE_TIMES = 3.0, 1.5
_LEARNT_FROM_ONE = 0.1
# After so many answers among many, and much sooner where the least is still too many or seems to be, few are
# taken on for so many answers, some of which have yet to leave: what one takes among few is measured anew.
_STALE, _STALE_AT_LEAST, _MEASURED_FOR = 1_000, 50, 24


class ConcurrencyLimit:
    """Between a quarter of the threads and all of them; not thread-safe.

    On a machine that is busy, twice as many requests at once take twice as long each, and no more are done;
    on a slow database all wait alike, and fewer at once would only do less. What tells the two apart is how
    long a request takes while few are under way, as in TCP's congestion control (Brakmo and Peterson 1995);
    where there is no calm moment, one is made (as BBR probes, Cardwell et al. 2016). Slow is longer than
    `slow_seconds` and than three times that. Steps down at a slow one and up at any other let the limit rest
    where `_SLOW_SHARE` are slow (a quantile by stochastic approximation, Robbins and Monro 1951).
    """

    def __init__(self, threads: int, slow_seconds: float) -> None:
        self._most = float(threads)
        self._least = max(1.0, threads * _LEAST_SHARE)
        self._few = max(1.0, threads * _FEW_SHARE)
        self._slow = slow_seconds
        self._limit = self._most
        self._among_few = slow_seconds / _SLOW_TIMES
        self._since_few = 0
        self._to_measure = 0

    @property
    def now(self) -> int:
        return int(self._few if self._to_measure else self._limit)

    @property
    def is_lowered(self) -> bool:
        return self.now < self._most

    def took(self, seconds: float, among: int) -> None:
        """A request for which somebody waited has ended; at most so many were under way meanwhile."""
        self._to_measure = max(0, self._to_measure - 1)
        if among <= self._few:
            self._among_few += _LEARNT_FROM_ONE * (seconds - self._among_few)
            self._since_few = 0
            if among * 2 <= self._limit and not self._is_slow(seconds):
                self._move(_STEP)
            return
        is_slow = self._is_slow(seconds)
        self._since_few += 1
        stale = _STALE_AT_LEAST if is_slow and self._limit <= self._least else _STALE
        if seconds > self._slow and self._since_few > stale:
            self._since_few, self._to_measure = 0, _MEASURED_FOR
        if is_slow:
            self._move(-_STEP)
        else:
            self._move(_STEP if seconds <= _FREE_TIMES * self._among_few else _SMALL_STEP)

    def _is_slow(self, seconds: float) -> bool:
        return seconds > max(self._slow, _SLOW_TIMES * self._among_few)

    def _move(self, by: float) -> None:
        self._limit = min(self._most, max(self._least, self._limit + by))
