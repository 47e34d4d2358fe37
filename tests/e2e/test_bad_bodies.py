"""JSON bodies and ids that clients get wrong: a clear problem each time, nothing lost, never a 5xx."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from e2e.foreword_process import Api
from e2e.problems import JSON, pointers, problem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]


WRITES = [
    ("PUT", "/v1/assets/bad-json"),
    ("PATCH", "/v1/assets/trial-starter-kit"),
    ("POST", "/v1/recommendations"),
    ("POST", "/v1/explain"),
    ("POST", "/v1/track"),
    ("POST", "/v1/batch"),
    ("POST", "/v1/identify"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"title": "x", ', "json_malformed"),
        (b"\xff\xfe{}", "json_malformed"),
        (b"", "body_empty"),
        (b"[1, 2]", "json_not_an_object"),
        (b'"text"', "json_not_an_object"),
    ],
)
def test_a_body_that_is_no_json_object(api: Api, method: str, path: str, body: bytes, code: str) -> None:
    assert problem(api.send(method, path, body, JSON), 400)["code"] == code


def test_deep_nesting_is_refused(api: Api) -> None:
    body = b'{"title":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    problem(api.send("PUT", "/v1/assets/deep", body, JSON), 400, 413, 422)


@pytest.mark.parametrize(("method", "path"), WRITES[:4])
def test_unknown_fields_are_named(api: Api, method: str, path: str) -> None:
    body = {"title": "x", "url": "https://www.example.com/", "asset_id": "x", "colour": "red"}
    if method == "POST":
        body = {"user_id": "u", "asset_id": "trial-starter-kit", "colour": "red"}
        if path.endswith("recommendations"):
            del body["asset_id"]
    else:
        del body["asset_id"]
    found = problem(api.send(method, path, orjson.dumps(body), JSON), 400, 422)
    assert "/colour" in pointers(found)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"title": 7}, "/title"),
        ({"title": ""}, "/title"),
        ({"title": None}, "/title"),
        ({"url": "javascript:alert(1)"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"topics": "one"}, "/topics"),
        ({"stages": {"consideration": "much"}}, "/stages/consideration"),
        ({"stages": {"nowhere": 1}}, "/stages/nowhere"),
        ({"status": "published"}, "/status"),
        ({"publish_at": "yesterday"}, "/publish_at"),
        ({"metadata": []}, "/metadata"),
        ({"title": "nul \x00 in it"}, "/title"),
    ],
)
def test_wrong_types_and_values_are_named(api: Api, fields: dict[str, Any], pointer: str) -> None:
    found = problem(api.put_asset("wrong-type", **fields), 422)
    assert any(p == pointer or p.startswith(pointer + "/") for p in pointers(found)), found
    problem(api.get_asset("wrong-type"), 404)


@pytest.mark.parametrize("count", [0, 1_000, -1, "many", 2.5, None])
def test_count_out_of_its_bounds(api: Api, count: Any) -> None:
    found = problem(api.post("/v1/recommendations", {"user_id": "u", "count": count}), 422)
    assert pointers(found) == {"/count"}


def test_count_in_the_query_out_of_its_bounds(api: Api) -> None:
    for count in ("0", "1000", "x"):
        problem(api.send("GET", f"/v1/recommendations?user_id=u&count={count}"), 400, 422)


def test_an_unknown_filter_field_is_a_400(api: Api) -> None:
    tree = {"must": [{"field": "colour", "any_of": ["red"]}]}
    found = problem(api.post("/v1/recommendations", {"user_id": "u", "filter": tree}), 400)
    assert "unknown field" in found["detail"]
    assert pointers(found) == {"/filter/must/0/field"}


IDS = [
    "a/b",
    "a/b/c d",
    "ä ö ü",
    "日本語",
    "100%",
    "a?b#c",
    "x:export",
    "emoji 🧊",
    "..%2f",
    "a\\b",
    "+",
    "'\"<>",
]


@pytest.mark.parametrize("asset_id", IDS)
def test_ids_of_any_printable_text_work_everywhere(api: Api, asset_id: str) -> None:
    stored = api.put_asset(asset_id, title=f"Asset named {asset_id}")
    assert stored.status in (200, 201), stored.body
    assert stored.json()["id"] == asset_id
    assert api.get_asset(asset_id).json()["id"] == asset_id
    assert asset_id in api.recommended(user_id="id-tester", count=50, filter=_url_of_id(asset_id))
    assert api.send("DELETE", f"/v1/assets/{quote(asset_id, safe='')}").status == 204
    problem(api.get_asset(asset_id), 404)


def _url_of_id(asset_id: str) -> dict[str, Any]:
    """Only what was published in the last minutes: the asset under test is among it."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    return {"must": [{"field": "published_at", "from": since.isoformat().replace("+00:00", "Z")}]}


# `…:export` is an address of its own under a buyer.
@pytest.mark.parametrize("buyer_id", [one for one in IDS if not one.endswith(":export")])
def test_buyers_have_such_ids_too(api: Api, buyer_id: str) -> None:
    assert api.track(buyer_id, "Content Viewed", properties={"asset_id": "pricing"}).status == 200
    found = api.send("GET", f"/v1/buyers/{quote(buyer_id, safe='')}")
    assert found.status == 200, found.body
    assert buyer_id in found.body.decode() or orjson.dumps(buyer_id)[1:-1] in found.body


@pytest.mark.parametrize("asset_id", ["x" * 201, "tab\there", "line\nbreak", "\x00", "."])
def test_ids_that_are_none(api: Api, asset_id: str) -> None:
    problem(api.put_asset(asset_id), 400, 404, 405, 422)


def test_an_id_that_is_not_utf_8(api: Api) -> None:
    problem(api.send("GET", "/v1/assets/%ff%fe"), 400)


def test_a_buyer_never_seen_is_a_404_and_still_gets_a_good_answer(api: Api) -> None:
    problem(api.send("GET", "/v1/buyers/never-seen"), 404)
    problem(api.send("GET", "/v1/accounts/never-seen"), 404)
    answer = api.post("/v1/recommendations", {"user_id": "never-seen", "count": 5}).json()
    assert len(answer["items"]) == 5
    assert answer["meta"]["tier"] in ("stage", "popular")
    assert answer["meta"]["degraded"] is False


def test_an_asset_that_is_not_there(api: Api) -> None:
    problem(api.get_asset("nowhere"), 404)
    problem(api.send("DELETE", "/v1/assets/nowhere"), 404)
    problem(api.send("PATCH", "/v1/assets/nowhere", b'{"title": "x"}', JSON), 404)


def test_an_old_etag(api: Api) -> None:
    etag = api.put_asset("etag").headers["etag"]
    api.put_asset("etag", title="changed since")
    body = orjson.dumps({"title": "late", "url": "https://www.example.com/etag"})
    problem(api.send("PUT", "/v1/assets/etag", body, {**JSON, "If-Match": etag}), 412)
    problem(api.send("PUT", "/v1/assets/etag", body, {**JSON, "If-Match": "nonsense"}), 400, 412)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("DELETE", "/v1/recommendations", 405), ("POST", "/", 404)],
)
def test_addresses_that_are_none(api: Api, method: str, path: str, status: int) -> None:
    problem(api.send(method, path), status, 405)


def test_an_event_and_a_batch_that_are_too_large(api: Api) -> None:
    problem(api.track("u", "x", properties={"text": "x" * 33_000}), 413)
    batch = [{"type": "track", "userId": "u", "event": "x", "properties": {"text": "x" * 30_000}}] * 150
    problem(api.post("/v1/batch", {"batch": batch}), 413)
