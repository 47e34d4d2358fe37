"""What every service's application does: problems, ids, RED metrics, health, settings, loops."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, abort, request
from flask.testing import FlaskClient
from prometheus_client import Counter
from prometheus_client.exposition import generate_latest
from pydantic import Field, SecretStr

from servicekit import errors, flask_app, health
from servicekit.background import BackgroundLoop
from servicekit.metrics import Metrics
from servicekit.settings import Settings, SettingsInvalid
from servicekit.wire import field_problems, read_json, read_object


def subclasses(kind: type[errors.ForewordError]) -> Iterator[type[errors.ForewordError]]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


KINDS = sorted(subclasses(errors.ForewordError), key=lambda kind: kind.__name__)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics.create("kit", "1.2.3")


@pytest.fixture
def app(metrics: Metrics) -> Flask:
    made = flask_app.create("kit", metrics=metrics, max_body_bytes=2 * 1024 * 1024)

    @made.get("/raise/<name>")
    def raise_one(name: str) -> str:
        kind = next(kind for kind in KINDS if kind.__name__ == name)
        raise kind("What to do.", code="own_code")

    @made.get("/crash")
    def crash() -> str:
        raise RuntimeError("the password is hunter2")

    @made.get("/abort/<int:status>")
    def stop(status: int) -> str:
        abort(status)

    @made.post("/body/<any_id>")
    def body(any_id: str) -> str:
        return str(len(request.get_data()))

    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_problem_document(client: FlaskClient, kind: type[errors.ForewordError]) -> None:
    found = client.get(f"/raise/{kind.__name__}", headers={"X-Request-ID": "req-7"})
    assert found.status_code == kind.status
    assert found.mimetype == "application/problem+json"
    assert found.json == {
        "type": "https://foreword.dev/problems/own_code",
        "title": kind.title,
        "status": kind.status,
        "detail": "What to do.",
        "instance": "/raise/{name}",
        "code": "own_code",
        "message": "What to do.",
        "request_id": "req-7",
    }
    if kind.status in {429, 503}:
        assert int(found.headers["Retry-After"]) >= 1
    if kind.status == 401:
        assert found.headers["WWW-Authenticate"].startswith("Bearer")


def test_field_errors_are_listed() -> None:
    error = errors.Unprocessable("x", fields=[errors.FieldProblem("/a/0", "wrong", "Say it better.")])
    document = errors.problem_document(error, instance="/x", request_id="r")
    assert document["errors"] == [{"pointer": "/a/0", "code": "wrong", "detail": "Say it better."}]


def test_waiting_times_are_whole_seconds_of_at_least_one() -> None:
    assert errors.TooManyRequests("x", retry_after_seconds=0.01).headers["Retry-After"] == "1"
    assert errors.Unavailable("x", retry_after_seconds=2.1).headers["Retry-After"] == "3"


def test_a_crash_tells_nothing_of_itself(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    found = client.get("/crash")
    assert (found.status_code, found.mimetype) == (500, "application/problem+json")
    assert found.json["code"] == "internal"  # type: ignore[index]
    assert all(word not in found.text for word in ("hunter2", "Traceback", "RuntimeError", ".py"))


MISTAKES = [400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415, 416, 417, 422, 428, 429, 431]


@pytest.mark.parametrize("status", MISTAKES)
def test_a_mistake_of_the_caller_is_never_ours(client: FlaskClient, status: int) -> None:
    found = client.get(f"/abort/{status}")
    assert found.status_code // 100 == 4
    assert found.mimetype == "application/problem+json"
    assert found.json["status"] == found.status_code  # type: ignore[index]


def test_unknown_addresses_methods_and_large_bodies(client: FlaskClient) -> None:
    assert client.get("/nowhere").json["code"] == "not_found"  # type: ignore[index]
    wrong = client.get("/body/x")
    assert (wrong.status_code, wrong.json["code"]) == (405, "method_not_allowed")  # type: ignore[index]
    assert wrong.headers["Allow"] == "OPTIONS, POST"
    large = client.post("/body/x", data=b"x" * (2 * 1024 * 1024 + 1))
    assert large.json["code"] == "payload_too_large"  # type: ignore[index]
    assert "2 MB" in large.json["detail"]  # type: ignore[index]
    for path in ("/body/x/", "//body/x"):
        assert client.post(path).status_code not in {301, 302, 307, 308}


def test_ids_are_taken_over_and_echoed_where_they_are_well_formed(client: FlaskClient) -> None:
    trace = f"00-{'c' * 32}-{'d' * 16}-01"
    found = client.get("/nowhere", headers={"X-Request-ID": "caller-1", "traceparent": trace})
    assert found.headers["X-Request-ID"] == "caller-1"
    assert found.headers["traceparent"].startswith(f"00-{'c' * 32}-")
    assert "d" * 16 not in found.headers["traceparent"]
    for bad in ("has space", "ü", "x" * 129, ""):
        made = client.get("/nowhere", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert made != bad
        assert len(made) == 32
    for bad in ("00-zz", f"00-{'0' * 32}-{'d' * 16}-01", f"ff-{'c' * 32}-{'d' * 16}-01"):
        assert "c" * 32 not in client.get("/nowhere", headers={"traceparent": bad}).headers["traceparent"]


def test_the_labels_of_metrics_are_bounded(client: FlaskClient, metrics: Metrics) -> None:
    for n in range(20):
        client.post(f"/body/{n}")
        client.get(f"/nowhere/{n}")
        client.open(f"/body/{n}", method=f"METHOD{n}")
        client.get("/livez")
    client.get("/crash")
    text = generate_latest(metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("foreword_kit_http_requests_total")]
    labels = {line.split(" ")[0].split("{")[1] for line in lines}
    assert any('route="/body/<any_id>"' in label and 'status="2xx"' in label for label in labels)
    assert len(lines) <= 6
    assert any('status="5xx"' in label for label in labels)
    assert not any("METHOD" in label or "/nowhere" in label for label in labels)
    assert "foreword_kit_http_requests_in_flight 0.0" in text
    assert 'foreword_kit_build_info{version="1.2.3"} 1.0' in text


def test_health_names_the_part_that_is_away(app: Flask) -> None:
    states = {
        "index": health.PartStatus(False, "loading"),
        "database": health.PartStatus(False, required=False),
    }
    health.init_app(app, {"index": lambda: states["index"], "database": lambda: states["database"]})
    client = app.test_client()
    assert client.get("/livez").json == {"status": "alive"}
    unready = client.get("/readyz")
    assert (unready.status_code, unready.headers["Retry-After"]) == (503, "1")
    assert unready.json["parts"]["index"]["detail"] == "loading"  # type: ignore[index]
    states["index"] = health.PartStatus(True)
    assert client.get("/readyz").status_code == 200


class Wanted(Settings):
    address: str = Field(pattern="^http", description="Where.")
    secret: SecretStr = Field(validation_alias="THE_SECRET", min_length=10, description="What.")
    threads: int = Field(4, ge=1, description="How many.")


def test_every_wrong_setting_is_listed_by_its_outside_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWORD_ADDRESS", "ftp://x")
    monkeypatch.setenv("FOREWORD_THREADS", "many")
    monkeypatch.setenv("FOREWORD_LOG_LEVEL", "LOUD")
    monkeypatch.setenv("THE_SECRET", "hunter2")
    with pytest.raises(SettingsInvalid) as caught:
        Wanted.load()
    told = str(caught.value)
    assert all(
        name in told for name in ("FOREWORD_ADDRESS", "FOREWORD_THREADS", "FOREWORD_LOG_LEVEL", "THE_SECRET")
    )
    assert "hunter2" not in told
    assert "FOREWORD_SECRET" not in told


def test_settings_come_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWORD_ADDRESS", "http://x")
    monkeypatch.setenv("THE_SECRET", "long enough secret")
    monkeypatch.setenv("FOREWORD_THREADS", "")  # how a deployment leaves a variable out
    found = Wanted.load()
    assert (found.address, found.threads) == ("http://x", 4)
    monkeypatch.setenv("FOREWORD_ADDRESS", "http://y")
    assert found.address == "http://x"
    with pytest.raises(Exception, match="frozen"):
        found.threads = 5  # type: ignore[misc]
    assert Wanted.load(threads=9).threads == 9


def test_json_is_read_or_refused() -> None:
    assert read_json(b" [1] ") == [1]
    for body, expected in (
        (b"", "body_empty"),
        (b"{'a'}", "json_malformed"),
        (b'"\\ud800"', "json_malformed"),
    ):
        with pytest.raises(errors.BadRequest) as caught:
            read_json(body)
        assert caught.value.code == expected
    with pytest.raises(errors.BadRequest) as caught:
        read_object(b"[]")
    assert caught.value.code == "json_not_an_object"


def test_pointers_follow_rfc_6901() -> None:
    from pydantic import BaseModel, ValidationError

    class Inner(BaseModel):
        values: dict[str, int]

    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"values": {"a/b~c": "hunter2"}})
    [problem] = field_problems(caught.value, "/outer")
    assert problem.pointer == "/outer/values/a~1b~0c"
    assert "hunter2" not in problem.detail


def test_a_loop_goes_on_after_a_failure_and_stops() -> None:
    failures = Counter("loop_failures", "x", ["loop"], registry=None)
    calls: list[int] = []
    thrice = threading.Event()

    def step() -> None:
        calls.append(1)
        if len(calls) >= 3:
            thrice.set()
        raise ValueError("again")

    loop = BackgroundLoop("x", step, interval_seconds=0.001, failures=failures, service="kit")
    loop.start()
    assert thrice.wait(10)
    loop.stop()
    count = len(calls)
    assert failures.labels("x")._value.get() == count
    loop.wake()
    assert len(calls) == count


def test_a_loop_that_is_woken_does_not_wait() -> None:
    failures = Counter("loop_failures", "x", ["loop"], registry=None)
    calls: list[Any] = []
    twice = threading.Event()

    def step() -> None:
        calls.append(1)
        if len(calls) == 2:
            twice.set()

    loop = BackgroundLoop("x", step, interval_seconds=3600, failures=failures, service="kit")
    loop.start()
    while not calls:
        pass
    loop.wake()
    assert twice.wait(10)
    loop.stop()


def test_logs_are_json_with_the_ids_of_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    from servicekit import logs, request_context

    logs.configure("kit")
    request_context.enter(request_context.from_headers("req-9", None))
    try:
        logs.get("kit").info("hello", odd={1: object}, text="ü")
    finally:
        request_context.enter(None)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["event"], line["service"], line["request_id"], line["text"]) == (
        "hello",
        "kit",
        "req-9",
        "ü",
    )
