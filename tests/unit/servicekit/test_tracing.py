"""Tracing is off by default, says what it lacks, and gives requests and calls ids that fit together."""

from __future__ import annotations

import sys

import pytest
from flask import Flask, Response
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit import flask_app, tracing
from servicekit.errors import Unavailable
from servicekit.metrics import Metrics
from servicekit.settings import Settings, SettingsInvalid

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_PARENT = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def app(exporter: InMemorySpanExporter) -> Flask:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = flask_app.create(
        "gateway",
        metrics=Metrics.create("gateway", "0"),
        max_body_bytes=1024,
        tracer=tracing.OpenTelemetryTracer(provider),
    )

    @made.get("/v1/buyers/<buyer_id>")
    def calls(buyer_id: str) -> Response:
        with tracing.call("recommender", "GET") as headers:
            return Response(headers["traceparent"])

    @made.get("/away")
    def away() -> Response:
        with tracing.call("recommender", "GET"):
            raise Unavailable("It is away.")

    return made


def test_it_is_off_by_default() -> None:
    assert Settings.load().otlp_endpoint is None
    assert tracing.start("gateway", "0", None, 1.0) is None


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsInvalid, match="tracing"):
        tracing.start("gateway", "0", "http://127.0.0.1:4318", 1.0)


def test_a_call_continues_the_callers_trace(app: Flask, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    sent = {"traceparent": f"00-{_TRACE}-{_PARENT}-01", "X-Request-ID": "mine"}
    answer = app.test_client().get("/v1/buyers/somebody@firm.example", headers=sent)
    call, request = exporter.get_finished_spans()
    assert request.context is not None
    assert call.context is not None
    assert f"{request.context.trace_id:032x}" == f"{call.context.trace_id:032x}" == _TRACE
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == _PARENT
    assert call.parent is not None
    assert call.parent.span_id == request.context.span_id
    # What is forwarded names the call's own span; what is echoed, the request's.
    assert answer.text == f"00-{_TRACE}-{call.context.span_id:016x}-01"
    assert answer.headers["traceparent"] == f"00-{_TRACE}-{request.context.span_id:016x}-01"
    assert answer.headers["X-Request-ID"] == "mine"


def test_a_span_names_the_route_and_nobody(app: Flask, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    app.test_client().get("/v1/buyers/somebody@firm.example?q=secret")
    for span in exporter.get_finished_spans():
        assert "somebody" not in span.to_json()
        assert "secret" not in span.to_json()
    assert exporter.get_finished_spans()[-1].name == "/v1/buyers/<buyer_id>"


def test_a_failure_ends_its_spans(app: Flask, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    assert app.test_client().get("/away").status_code == 503
    assert [span.status.is_ok for span in exporter.get_finished_spans()] == [False, False]


def test_without_a_request_there_is_nothing_to_forward() -> None:
    with tracing.call("recommender", "GET") as headers:
        assert headers == {}
