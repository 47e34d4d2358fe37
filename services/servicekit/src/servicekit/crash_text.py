"""An error for the log: where it came from and what kind it is, without words that may name a person.

Libraries quote what they were reading: a database driver the row, a parser the text, a lookup its key. So
only errors whose words are ours or the system's keep them; of others the log has type, place and SQLSTATE.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

from structlog.typing import EventDict, WrappedLogger

from servicekit.errors import ForewordError

_MOST_CAUSES = 8
# Their words name files, modules, attributes and types, never what was being read.
_SPEAKING = (ForewordError, OSError, ImportError, AttributeError, NameError, TypeError, RecursionError)


def crash_text(error: BaseException) -> str:
    """Frames and kind of an error and of what led to it, the first cause first."""
    told = []
    for one in reversed(list(_chain(error))):
        frames = "".join(traceback.format_list(traceback.extract_tb(one.__traceback__)))
        told.append(f"{frames}{_named(one)}")
    return "\n\nwhich led to:\n\n".join(told)


def kinds(error: BaseException) -> str:
    """One line: the error and what led to it."""
    return " from ".join(_named(one) for one in _chain(error))[:500]


def add_crash(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A step of the rendering: `exc_info`, an error or what `sys.exc_info()` gives, made into text."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event["exception"] = crash_text(given)
    return event


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _named(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return f"{kind} [{state}]"
    if isinstance(error, _SPEAKING) or getattr(type(error), "says_nothing_of_people", False):
        return f"{kind}: {error}"
    return kind
