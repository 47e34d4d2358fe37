"""The identity of the request being served: its id and its W3C trace position, forwarded on every hop."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from servicekit.tracing import Tracer

# What may be echoed into a header and a log line without harm.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}\Z")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Ids of one request; `span_id` is ours, the caller's is its parent."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str = "00"
    tracer: Tracer | None = None
    span: Span | None = None

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_current: ContextVar[RequestContext | None] = ContextVar("foreword_request", default=None)


def from_headers(request_id: str | None, traceparent: str | None) -> RequestContext:
    """Take over the caller's ids where they are well formed; make new ones where they are not."""
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    if match and set(match[1]) != {"0"}:
        trace_id, flags = match[1], match[3]
    else:
        trace_id, flags = secrets.token_hex(16), "00"
    if not (request_id and _REQUEST_ID.match(request_id)):
        request_id = trace_id
    return RequestContext(request_id, trace_id, secrets.token_hex(8), flags)


def current() -> RequestContext | None:
    """The request this thread serves, or None in a background loop."""
    return _current.get()


def enter(context: RequestContext | None) -> None:
    _current.set(context)
