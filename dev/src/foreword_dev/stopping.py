"""A plain kill and a closed terminal end a command as cleanly as Ctrl-C: what it started is stopped."""

from __future__ import annotations

import signal

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_stops() -> None:
    """Each of them raises KeyboardInterrupt; started from a script's background, Ctrl-C would be ignored."""
    for stop in _STOPS:
        signal.signal(stop, signal.default_int_handler)


def ignore_stops() -> None:
    """While it stops: a second Ctrl-C would leave half of it running."""
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_IGN)
