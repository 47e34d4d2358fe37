"""A plain kill and a closed terminal end a command as cleanly as Ctrl-C: what it started is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Somebody asked for the end.

    A class of our own: where a plain KeyboardInterrupt passes through text that is executed, as importing a
    dataclass does, the interpreter ends with the signal's code however well it was caught afterwards.
    """


def heed_stops() -> None:
    """The first of them raises Stopped; started from a script's background, Ctrl-C would be ignored.

    Those that follow are ignored, since a second Ctrl-C would leave half of it running.
    """
    for stop in _STOPS:
        signal.signal(stop, _stop)


def ignore_stops() -> None:
    """While it stops by itself."""
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_IGN)


def _stop(_number: int, _frame: FrameType | None) -> None:
    ignore_stops()
    raise Stopped


@contextmanager
def undisturbed() -> Iterator[None]:
    """For steps of a few seconds that must not stay half done: a stop counts when they end or fail."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])
