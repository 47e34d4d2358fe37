"""Signals as tracking clients send them: paths, keys in bodies, gzip, sizes, and what may be answered."""

from __future__ import annotations

import gzip
import os

import orjson
import pytest

from contract.signals import MAX_BATCH_BYTES, MAX_EVENT_BYTES, SHORT_PATHS
from unit.gateway.gateway_fixtures import Gateway
from unit.gateway.gateway_stand_in import StandIn

EVENT = {"userId": "u-1", "event": "Pricing Viewed", "messageId": "m-1"}
LONG = ("track", "page", "screen", "identify", "group", "alias", "batch", "import")


@pytest.mark.parametrize("path", [*LONG, *(short for short in SHORT_PATHS if short != "m")])
def test_every_path_of_the_tracking_api_takes_signals(gateway: Gateway, path: str) -> None:
    answer = gateway.client.post(f"/v1/{path}", json=EVENT, headers=gateway.headers())
    assert (answer.status_code, answer.get_data()) == (200, b'{"success": true}')
    seen = gateway.recommender.last("/v1/signals")
    assert seen["query"] == "kind=" + SHORT_PATHS.get(path, path)
    assert orjson.loads(seen["body"]) == EVENT


def test_the_recommender_learns_what_only_the_edge_knows(gateway: Gateway) -> None:
    headers = gateway.headers(gateway.publishable, **{"User-Agent": "Browser/1", "Sec-GPC": "1"})
    gateway.client.post("/v1/t", json=EVENT, headers=headers)
    seen = gateway.recommender.last("/v1/signals")["headers"]
    assert seen["X-Buyer-Agent"] == "Browser/1"
    assert seen["Sec-Gpc"] == "1"
    assert seen["X-Signal-Source"] == "publishable"
    assert seen["X-Received-At"].endswith("Z")
    assert "Authorization" not in seen


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "image/png"])
def test_json_is_read_whatever_the_content_type_says(gateway: Gateway, content_type: str) -> None:
    body = orjson.dumps({**EVENT, "writeKey": gateway.publishable})
    answer = gateway.client.post("/v1/t", data=body, content_type=content_type)
    assert answer.status_code == 200
    assert gateway.recommender.last("/v1/signals")["body"] == body


def test_the_key_may_stand_in_the_body_or_in_the_query(gateway: Gateway) -> None:
    in_body = {"batch": [EVENT], "writeKey": gateway.secret}
    assert gateway.client.post("/v1/batch", json=in_body).status_code == 200
    in_query = gateway.client.post(f"/v1/batch?writeKey={gateway.publishable}", json={"batch": [EVENT]})
    assert in_query.status_code == 200
    for wrong in ({"writeKey": "fw_pk_no"}, {"writeKey": 7}, {}, [1]):
        assert gateway.client.post("/v1/batch", json=wrong).status_code == 401
    assert gateway.client.post("/v1/recommendations", json={"writeKey": gateway.secret}).status_code == 401


def test_gzip_is_undone_member_by_member(gateway: Gateway) -> None:
    body = orjson.dumps({"batch": [EVENT] * 500})
    packed = gzip.compress(body[:1000], mtime=0) + gzip.compress(body[1000:], mtime=0)
    headers = gateway.headers(**{"Content-Encoding": "gzip"})
    assert gateway.client.post("/v1/batch", data=packed, headers=headers).status_code == 200
    assert gateway.recommender.last("/v1/signals")["body"] == body


@pytest.mark.parametrize("padding", [b" " * 100_000, os.urandom(100_000).hex().encode()])
def test_gzip_of_several_chunks_arrives_whole(gateway: Gateway, padding: bytes) -> None:
    body = b'{"batch": [], "x": "' + padding + b'"}'
    headers = gateway.headers(**{"Content-Encoding": "gzip"})
    answer = gateway.client.post("/v1/batch", data=gzip.compress(body, mtime=0), headers=headers)
    assert answer.status_code == 200
    assert gateway.recommender.last("/v1/signals")["body"] == body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not gzip", "gzip_malformed"),
        (gzip.compress(b'{"batch": []}', mtime=0)[:-6], "gzip_truncated"),
        (gzip.compress(b'{"batch": []}', mtime=0) + b"junk", "gzip_malformed"),
        (gzip.compress(b"", mtime=0), "body_empty"),
        (b"", "body_empty"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_a_400(gateway: Gateway, body: bytes, code: str) -> None:
    headers = gateway.headers(**{"Content-Encoding": "gzip"})
    answer = gateway.client.post("/v1/batch", data=body, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, code)


def test_a_gzip_bomb_stops_at_the_limit(gateway: Gateway) -> None:
    bomb = gzip.compress(b"[" + b"0," * (4 * 1024 * 1024), mtime=0)
    assert len(bomb) < 1024 * 1024
    headers = gateway.headers(**{"Content-Encoding": "gzip"})
    answer = gateway.client.post("/v1/batch", data=bomb, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")
    assert "4 MB" in answer.json["detail"]
    assert gateway.recommender.seen == []


def test_another_encoding_is_a_415(gateway: Gateway) -> None:
    headers = gateway.headers(**{"Content-Encoding": "br"})
    assert gateway.client.post("/v1/batch", data=b"x", headers=headers).status_code == 415


@pytest.mark.parametrize(("path", "limit"), [("track", MAX_EVENT_BYTES), ("batch", MAX_BATCH_BYTES)])
def test_a_body_at_its_limit_passes_and_one_byte_more_is_a_413(
    gateway: Gateway, path: str, limit: int
) -> None:
    frame = b'{"event": "x", "properties": {"p": ""}}'
    body = frame.replace(b'""', b'"' + b"x" * (limit - len(frame)) + b'"')
    assert len(body) == limit
    answer = gateway.client.post(f"/v1/{path}", data=body, headers=gateway.headers())
    assert answer.status_code == 200
    answer = gateway.client.post(f"/v1/{path}", data=body + b" ", headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")


def test_malformed_json_is_the_recommenders_400_at_our_address(gateway: Gateway) -> None:
    answer = gateway.client.post("/v1/t", data=b'{"event": ', headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (400, "json_malformed")
    assert answer.json["instance"] == "/v1/t"
    assert gateway.count("signals_total", kind="track", outcome="refused") == 1


@pytest.mark.parametrize(
    ("told", "given"), [(500, 500), (503, 503), (429, 429), (202, 503), (410, 503), (302, 503)]
)
def test_nothing_is_answered_that_would_make_a_client_drop_its_signals(
    gateway: Gateway, told: int, given: int
) -> None:
    gateway.recommender.status = told
    answer = gateway.client.post("/v1/track", json=EVENT, headers=gateway.headers())
    assert answer.status_code == given
    assert gateway.count("signals_total", kind="track", outcome="unavailable") == 1


def test_a_recommender_that_is_away_is_a_503_with_retry_after(stand_in: StandIn, gateway: Gateway) -> None:
    gateway.recommender.delay_seconds = 0
    gateway.parts.recommender.client.breaker.failed()
    for _ in range(5):
        gateway.parts.recommender.client.breaker.failed()
    answer = gateway.client.post("/v1/track", json=EVENT, headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (503, "upstream_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_an_answer_that_is_not_json_is_never_a_success(gateway: Gateway) -> None:
    gateway.recommender.nonsense = True
    assert gateway.client.post("/v1/track", json=EVENT, headers=gateway.headers()).status_code == 503


def test_signals_are_counted_by_what_became_of_them(gateway: Gateway) -> None:
    gateway.client.post("/v1/batch", json={"batch": [EVENT] * 3}, headers=gateway.headers())
    assert gateway.count("signals_total", kind="batch", outcome="accepted") == 3


def test_the_browser_library_gets_its_settings_and_may_send_its_figures(gateway: Gateway) -> None:
    answer = gateway.client.get(f"/v1/projects/{gateway.publishable}/settings")
    assert answer.json["integrations"]["Segment.io"]["apiKey"] == gateway.publishable
    assert gateway.client.get("/v1/projects/fw_pk_nobody/settings").status_code == 404
    assert gateway.client.post("/v1/m", data=b'{"series": []}').get_data() == b'{"success": true}'


def test_preflight_lets_tracking_clients_in(gateway: Gateway) -> None:
    for path in ("t", "track", "batch", "recommendations", "recommendations"):
        answer = gateway.client.options(
            f"/v1/{path}",
            headers={
                "Origin": "https://www.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
            },
        )
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "x-retry-count"} <= set(allowed)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    refused = gateway.client.post("/v1/t", json=EVENT, headers={"Origin": "https://www.example.com"})
    assert refused.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
    private = gateway.client.options("/v1/assets", headers={"Origin": "https://www.example.com"})
    assert "Access-Control-Allow-Origin" not in private.headers
