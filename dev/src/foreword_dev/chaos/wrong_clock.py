"""Services whose clock a file sets wrong, for the chaos run alone: `wrong_clock:recommender()`, `:gateway()`.

libfaketime was tried first: it breaks `time.sleep` of this Python. So the services' own modules get another
`datetime` and all code another `time.time`; the monotonic clock runs on, as when a machine's time jumps.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime, timedelta, tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Flask

CLOCK_FILE = "FOREWORD_CHAOS_CLOCK"
_READ_AGAIN_SECONDS = 0.2
_true_time = time.time


class _Offset:
    """How wrong the clock is, in seconds, as the file says."""

    def __init__(self) -> None:
        self._path = Path(os.environ[CLOCK_FILE])
        self._seconds = 0.0
        self._due = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _READ_AGAIN_SECONDS
            self._seconds = float(self._path.read_text() or 0.0)
        return self._seconds


class _Meta(type):
    """Stands where `datetime` stood: whatever it is asked, the true one answers."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return datetime(*given, **named)  # noqa: DTZ001 - as it was asked for

    def __getattr__(cls, name: str) -> Any:
        return getattr(datetime, name)


def _wrong_datetime(offset: _Offset) -> type:
    class WrongDatetime(metaclass=_Meta):
        @staticmethod
        def now(tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=offset())

    return WrongDatetime


def recommender() -> Flask:
    return _with_wrong_clock("recommender")


def gateway() -> Flask:
    return _with_wrong_clock("gateway")


def _with_wrong_clock(service: str) -> Flask:
    app: Flask = import_module(f"{service}.wsgi").app
    offset = _Offset()
    wrong = _wrong_datetime(offset)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in (service, "servicekit") and getattr(module, "datetime", None) is datetime:
            module.datetime = wrong  # type: ignore[attr-defined]
    time.time = lambda: _true_time() + offset()
    return app
