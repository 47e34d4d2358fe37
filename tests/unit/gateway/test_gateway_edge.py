"""The edge itself: problems for every miss, headers on every answer, pages, and settings."""

from __future__ import annotations

import re

import pytest

from gateway.settings import GatewaySettings
from servicekit.settings import SettingsInvalid
from unit.gateway.gateway_fixtures import Gateway


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/assets//", 401, "key_missing"),
        ("DELETE", "/v1/recommendations", 405, "method_not_allowed"),
        ("GET", "/v1/track", 405, "method_not_allowed"),
        ("POST", "/v1/assets/x", 405, "method_not_allowed"),
        ("GET", "/metrics", 404, "not_found"),
    ],
)
def test_every_miss_is_a_problem(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    answer = gateway.client.open(path, method=method)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    if status == 405:
        assert method not in answer.headers["Allow"]


@pytest.mark.slow
def test_every_answer_carries_the_security_headers(gateway: Gateway) -> None:
    for path in ("/", "/docs", "/openapi.json", "/livez", "/nowhere", "/v1/assets", "/c/x"):
        headers = gateway.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
    secure = gateway.client.get("/", base_url="https://localhost").headers
    assert secure["Strict-Transport-Security"].startswith("max-age=")


def test_the_page_names_every_address_and_loads_nothing_from_elsewhere(gateway: Gateway) -> None:
    answer = gateway.client.get("/docs")
    html = answer.get_data(as_text=True)
    for route in gateway.app.extensions["routes"]:
        assert f'<article id="{route.name}">' in html
        assert html.count(f'id="{route.name}"') == 1
    assert not re.findall(r'(?:src|href)="(?!#|/)', html)
    assert "<script" not in html
    assert html.count("<pre>curl ") == len(gateway.app.extensions["routes"])
    style = re.search(r"style-src 'sha256-[^']+'", answer.headers["Content-Security-Policy"])
    assert style


def test_readiness_waits_for_the_keys(gateway: Gateway) -> None:
    assert gateway.client.get("/readyz").json["status"] == "ready"
    gateway.source.away = True
    gateway.parts.keys.refresh()
    stale = gateway.client.get("/readyz")
    assert (stale.status_code, "last known" in stale.json["parts"]["keys"]["detail"]) == (200, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("FOREWORD_PROJECT_SECRET", "short"),
        ("FOREWORD_RECOMMENDER_URL", "recommender:8081"),
        ("FOREWORD_RECOMMENDATION_TIMEOUT_SECONDS", "0"),
        ("FOREWORD_KEY_REFRESH_SECONDS", "10"),
        ("FOREWORD_RATE_LIMIT", "often"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/d")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=name):
        GatewaySettings.load()


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in GatewaySettings.model_fields.items():
        assert field.description, name
