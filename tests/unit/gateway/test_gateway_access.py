"""Who may call what: wrong and revoked keys, scopes, origins, limits, and keys that must not come back."""

from __future__ import annotations

import base64
import dataclasses
import logging

import pytest
from limits.storage import MemoryStorage

from gateway.access import AccessControl
from gateway.keys import KeyKind
from gateway.limits import RateLimiter
from gateway.routing import Keyed, Open
from servicekit.errors import TooManyRequests
from unit.gateway.gateway_fixtures import NOW, Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn

ASK = {"anonymous_id": "a-1"}


def recommend(gateway: Gateway, **headers: str) -> int:
    status: int = gateway.client.post("/v1/recommendations", json=ASK, headers=headers).status_code
    return status


def test_every_route_says_who_may_call_it(gateway: Gateway) -> None:
    for route in gateway.app.extensions["routes"]:
        assert isinstance(route.access, (Open, Keyed))
        if isinstance(route.access, Open):
            assert len(route.access.why) > 10
    assert {r.name for r in gateway.app.extensions["routes"] if isinstance(r.access, Open)} == {
        "click", "docs", "email_opened", "email_view", "hubspot", "landing", "library_settings", "livez",
        "openapi", "readyz", "signals_m", "widget_preview", "widget_script",
    }  # fmt: skip


def test_without_a_key_every_keyed_route_is_a_401(gateway: Gateway) -> None:
    for route in gateway.app.extensions["routes"]:
        if not isinstance(route.access, Keyed):
            continue
        path = route.path.replace("<any_id:asset_id>", "x").replace("<any_id:buyer_id>", "x")
        path = path.replace("<any_id:account_id>", "x")
        answer = gateway.client.open(path, method=route.method, json={})
        assert answer.status_code == 401, route
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert gateway.recommender.seen == []


def test_a_secret_key_lacking_the_scope_is_a_403_on_every_keyed_route(gateway: Gateway) -> None:
    for route in gateway.app.extensions["routes"]:
        if not isinstance(route.access, Keyed):
            continue
        other = "signals" if route.access.scope != "signals" else "recommend"
        key = gateway.add_key(KeyKind.SECRET, other)
        answer = gateway.client.open(
            route.path.replace("<any_id:", "").replace(">", ""),
            method=route.method,
            json={},
            headers=gateway.headers(key),
        )
        assert (answer.status_code, answer.json["code"]) == (403, "scope_missing"), route
    assert gateway.recommender.seen == []


def test_a_publishable_key_reaches_only_signals_and_recommendations(gateway: Gateway) -> None:
    reached = set()
    for route in gateway.app.extensions["routes"]:
        if not isinstance(route.access, Keyed):
            continue
        answer = gateway.client.open(
            route.path.replace("<any_id:", "").replace(">", ""),
            method=route.method,
            json={},
            headers=gateway.headers(gateway.publishable),
        )
        if answer.status_code != 403:
            reached.add(route.tag + " " + route.path.partition(":")[0])
    recommend_or_track = {path for path in reached if not path.startswith("Signals")}
    assert recommend_or_track == {"Recommendations /v1/recommendations"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer fw_sk_wrong", "key_unknown"),
        ("Bearer ", "key_missing"),
        ("Basic !!!", "key_missing"),
        ("Digest x", "key_missing"),
        ("Bearer clé", "key_unknown"),
    ],
)
def test_a_wrong_key_is_a_401(gateway: Gateway, header: str, code: str) -> None:
    answer = gateway.client.post("/v1/recommendations", json=ASK, headers={"Authorization": header})
    assert (answer.status_code, answer.json["code"]) == (401, code)
    assert gateway.count("auth_failures_total", reason=code.removeprefix("key_")) == 1


def test_a_revoked_key_is_a_401_after_the_next_refresh(gateway: Gateway) -> None:
    assert recommend(gateway, **gateway.headers()) == 200
    gateway.source.keys = [dataclasses.replace(key, revoked_at=NOW) for key in gateway.source.keys]
    gateway.parts.keys.refresh()
    answer = gateway.client.post("/v1/recommendations", json=ASK, headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (401, "key_revoked")


def test_the_key_may_be_the_user_name_of_basic_authentication(gateway: Gateway) -> None:
    text = base64.b64encode(f"{gateway.secret}:".encode()).decode()
    assert recommend(gateway, Authorization=f"Basic {text}") == 200


def test_a_publishable_key_is_bound_to_its_origins(gateway: Gateway) -> None:
    key = gateway.add_key(KeyKind.PUBLISHABLE, origins=("https://www.example.com",))
    ask = gateway.headers(key)
    assert recommend(gateway, **ask, Origin="https://www.example.com") == 200
    assert recommend(gateway, **ask, Referer="https://www.example.com/page?x=1") == 200
    for wrong in ("https://evil.example", "https://www.example.com.evil.example", "null", "http://[", ""):
        assert recommend(gateway, **ask, Origin=wrong) == 403, wrong
    assert recommend(gateway, **ask) == 403


def test_over_the_limit_is_a_429_that_says_when_to_come_back(stand_in: StandIn) -> None:
    gateway = make_gateway(stand_in, rate_limit="2/minute")
    for left in ("1", "0"):
        answer = gateway.client.post("/v1/recommendations", json=ASK, headers=gateway.headers())
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Remaining"] == left
    answer = gateway.client.post("/v1/recommendations", json=ASK, headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Policy"] == '"key";q=2;w=60'
    assert recommend(gateway, **gateway.headers(gateway.publishable)) == 200  # another key, another count


class _BrokenStorage(MemoryStorage):
    """A counter whose server is away."""

    base_exceptions = ConnectionError

    def get_sliding_window(self, *_: object, **__: object) -> tuple[int, float, int, float]:
        raise ConnectionError("away")

    def acquire_sliding_window_entry(self, *_: object, **__: object) -> bool:
        raise ConnectionError("away")


def test_a_limiter_that_is_away_is_bridged_and_counted(gateway: Gateway) -> None:
    limiter = RateLimiter("2/minute", gateway.parts.metrics, _BrokenStorage(wrap_exceptions=True))
    control = AccessControl(gateway.parts.keys, limiter, gateway.parts.metrics)
    with gateway.app.test_request_context("/v1/search", headers=gateway.headers()):
        for _ in range(2):
            assert not control.admit(Keyed("recommend")).is_publishable
        with pytest.raises(TooManyRequests):
            control.admit(Keyed("recommend"))
    # The shared counter is left alone for a while, this replica's own goes on.
    assert gateway.count("rate_limiter_failures_total") == 1


def test_a_key_never_comes_back_and_is_never_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="werkzeug")  # the stand-in's own server, which writes down paths
    keys = (gateway.secret, gateway.publishable, "fw_sk_" + "z" * 43)
    gateway.recommender.status = 500
    bodies = []
    for key in keys:
        for path in (f"/v1/projects/{key}x/settings", f"/v1/assets/{key}", f"/{key}", f"/c/{key}"):
            for method in ("GET", "PUT"):
                answer = gateway.client.open(path, method=method, json={}, headers=gateway.headers(key))
                bodies.append(answer.get_data(as_text=True))
        bodies.append(gateway.client.post("/v1/track", json={"writeKey": key}).get_data(as_text=True))
    ours = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("werkzeug", "urllib3"))
    ]
    written = capsys.readouterr()
    for key in keys:
        everything = "\n".join([*bodies, *ours, written.out, written.err])
        assert key not in everything
