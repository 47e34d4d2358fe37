"""Traces by OpenTelemetry, sent as OTLP over HTTP: an extra, and off unless `FOREWORD_OTLP_ENDPOINT` is set.

Ids are accepted, forwarded and logged in any case (`request_context`); this only makes spans of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from servicekit import request_context
from servicekit.request_context import RequestContext
from servicekit.settings_invalid import SettingsInvalid

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_EXPORT_SECONDS = 5.0


class Tracer(Protocol):
    """What is told of a request; a service that is not traced has none."""

    def begin(self, context: RequestContext, method: str, parent: str | None) -> RequestContext: ...

    def end(self, context: RequestContext, route: str, status: int) -> None: ...

    def calling(self, context: RequestContext, upstream: str, method: str) -> Span | None: ...

    def close(self) -> None: ...


class OpenTelemetryTracer:
    """A server span for each request, a client span for each call inwards; ids agree with the log's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("foreword")

    def begin(self, context: RequestContext, method: str, parent: str | None) -> RequestContext:
        """The caller's span is the parent where it sent a well-formed `traceparent`."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: Mapping[str, str] = {"traceparent": parent} if parent else {}
        above = TraceContextTextMapPropagator().extract(carrier)
        span = self._tracer.start_span(method, context=above, kind=trace.SpanKind.SERVER)
        ids = span.get_span_context()
        trace_id = trace.format_trace_id(ids.trace_id)
        return replace(
            context,
            # Without an id of the caller's the request is called as its trace is.
            request_id=trace_id if context.request_id == context.trace_id else context.request_id,
            trace_id=trace_id,
            span_id=trace.format_span_id(ids.span_id),
            flags=f"{int(ids.trace_flags):02x}",
            tracer=self,
            span=span,
        )

    def end(self, context: RequestContext, route: str, status: int) -> None:
        """The route's template names the span: a path may hold a person's id."""
        from opentelemetry.trace import StatusCode

        span = context.span
        if span is None:
            return
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("foreword.request_id", context.request_id)
        span.update_name(route)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def calling(self, context: RequestContext, upstream: str, method: str) -> Span | None:
        from opentelemetry import trace

        if context.span is None:
            return None
        above = trace.set_span_in_context(context.span)
        span = self._tracer.start_span(f"{method} {upstream}", context=above, kind=trace.SpanKind.CLIENT)
        span.set_attribute("http.request.method", method)
        span.set_attribute("server.address", upstream)
        return span

    def close(self) -> None:
        self._provider.shutdown()


def start(service: str, version: str, endpoint: str | None, sample_ratio: float) -> Tracer | None:
    """Raises `SettingsInvalid` where an endpoint is set and the extra is not installed."""
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise SettingsInvalid(
            "FOREWORD_OTLP_ENDPOINT: install the extra first, pip install 'foreword-servicekit[tracing]'."
        ) from error
    resource = Resource.create(
        {"service.name": f"foreword-{service}", "service.version": version, "service.namespace": "foreword"}
    )
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(sample_ratio)))
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryTracer(provider)


@contextmanager
def call(upstream: str, method: str) -> Iterator[dict[str, str]]:
    """The headers that carry the request's ids to a service that is called, in a span if traced."""
    context = request_context.current()
    if context is None:
        yield {}
        return
    span = None if context.tracer is None else context.tracer.calling(context, upstream, method)
    if span is None:
        yield {"X-Request-ID": context.request_id, "traceparent": context.traceparent}
        return
    from opentelemetry import trace

    own = trace.format_span_id(span.get_span_context().span_id)
    try:
        yield {"X-Request-ID": context.request_id, "traceparent": replace(context, span_id=own).traceparent}
    except BaseException:
        span.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        span.end()
