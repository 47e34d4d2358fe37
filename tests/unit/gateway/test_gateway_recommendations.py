"""Recommendations at the edge: what may be asked, what a browser may see, and what is left on bad days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.keys import KeyKind, user_token
from servicekit.settings import SettingsInvalid
from unit.gateway.gateway_fixtures import PROJECT_SECRET, Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn
from unit.gateway.stand_in_documents import content

ASK = {"anonymous_id": "a-1", "placement": "sidebar", "count": 3}


def ask(gateway: Gateway, document: Any = ASK, key: str | None = None) -> Any:
    return gateway.client.post("/v1/recommendations", json=document, headers=gateway.headers(key))


def test_a_secret_key_sees_all_and_gets_click_links(gateway: Gateway) -> None:
    answer = ask(gateway)
    assert answer.status_code == 200
    assert answer.json["stage"]["name"] == "consideration"
    assert [item["id"] for item in answer.json["items"]] == ["asset-1", "asset-2", "asset-3"]
    assert all(item["click_url"].startswith("http://localhost/c/") for item in answer.json["items"])
    assert orjson.loads(gateway.recommender.last("/v1/recommendations")["body"]) == ASK
    labels = {"placement": "sidebar", "channel": "web", "tier": "personal", "degraded": "false"}
    assert gateway.count("recommendations_total", **labels) == 1


def test_click_links_start_with_the_public_url_when_one_is_set(stand_in: StandIn) -> None:
    gateway = make_gateway(stand_in, public_url="https://content.example.com/")
    url = ask(gateway).json["items"][0]["click_url"]
    assert url.startswith("https://content.example.com/c/")


def test_a_publishable_key_learns_nothing_about_the_person(gateway: Gateway) -> None:
    answer = ask(gateway, {**ASK, "explain": "full"}, gateway.publishable)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert len(answer.json["items"]) == 3
    assert set(answer.json) == {"recommendation_id", "items", "meta", "warnings"}
    for secret in ("score", "stage", "evidence", "terms", "pumps", "logistics", "seen", "consideration"):
        assert secret not in text, secret
    assert answer.json["items"][0]["reasons"] == [{"code": "popular", "text": "Popular with readers"}]
    assert orjson.loads(gateway.recommender.last("/v1/recommendations")["body"])["explain"] == "summary"


@pytest.mark.parametrize(
    "asked",
    [
        {"anonymous_id": "a", "as_of": "2026-01-01T00:00:00Z"},
        {"anonymous_id": "a", "account_id": "acme"},
        {"anonymous_id": "a", "filter": {"must": [{"field": "stage", "any_of": ["decision"]}]}},
        {"anonymous_id": "a", "filter": {"must": [{"must_not": [{"field": "stage"}]}]}},
        {"user_id": "u"},
        {"user_id": "u", "user_token": "0" * 64},
        {"user_id": "u", "user_token": ""},
        {"user_id": "u", "user_token": user_token(PROJECT_SECRET, "someone else")},
    ],
)
def test_what_a_publishable_key_may_not_ask_is_a_403(gateway: Gateway, asked: dict[str, Any]) -> None:
    assert ask(gateway, asked, gateway.publishable).status_code == 403
    assert gateway.recommender.seen == []


def test_a_user_token_opens_a_user_id_and_is_not_passed_on(gateway: Gateway) -> None:
    token = user_token(PROJECT_SECRET, "u")
    answer = ask(gateway, {"user_id": "u", "user_token": token}, gateway.publishable)
    assert answer.status_code == 200
    assert orjson.loads(gateway.recommender.last("/v1/recommendations")["body"]) == {"user_id": "u"}


def test_as_of_needs_the_scope_admin(gateway: Gateway) -> None:
    asked = {"user_id": "u", "as_of": "2026-01-01T00:00:00Z"}
    assert ask(gateway, asked, gateway.add_key(KeyKind.SECRET, "recommend")).status_code == 403
    assert ask(gateway, asked, gateway.add_key(KeyKind.SECRET, "recommend", "admin")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (b"", 400, "body_empty", None),
        (b"{", 400, "json_malformed", None),
        (b"[]", 400, "json_not_an_object", None),
        (b'"\xff"', 400, "json_malformed", None),
        (b'{"count": 0}', 422, "fields_invalid", "/count"),
        (b'{"count": 1000}', 422, "fields_invalid", "/count"),
        (b'{"count": "five"}', 422, "fields_invalid", "/count"),
        (b'{"user_id": 7}', 422, "fields_invalid", "/user_id"),
        (b'{"user_id": ""}', 422, "fields_invalid", "/user_id"),
        (b'{"colour": "red"}', 422, "fields_invalid", "/colour"),
        (b'{"context": {"page": "x"}}', 422, "fields_invalid", "/context/page"),
        (b'{"channel": "fax"}', 422, "fields_invalid", "/channel"),
        (b'{"exclude_ids": "a"}', 422, "fields_invalid", "/exclude_ids"),
        (b'{"as_of": "yesterday"}', 422, "fields_invalid", "/as_of"),
        (b'{"as_of": "0001-01-01T00:00:00+14:00"}', 422, "fields_invalid", "/as_of"),
        (b'{"context": {"query": "' + b"x" * 300_000 + b'"}}', 413, "payload_too_large", None),
    ],
)
def test_bad_input_is_a_clear_problem(
    gateway: Gateway, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    answer = gateway.client.post("/v1/recommendations", data=body, headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    if pointer is not None:
        assert answer.json["errors"][0]["pointer"] == pointer
    assert gateway.recommender.seen == []


def test_an_unknown_filter_field_is_the_recommenders_400(gateway: Gateway) -> None:
    answer = ask(gateway, {"filter": {"must": [{"field": "colour", "any_of": ["red"]}]}})
    assert (answer.status_code, answer.json["code"]) == (400, "filter_field_unknown")


def test_the_query_means_the_same_as_the_body(gateway: Gateway) -> None:
    answer = gateway.client.get(
        "/v1/recommendations",
        query_string=[
            ("user_id", "ü/1"),
            ("count", "2"),
            ("context.asset_id", "a"),
            ("exclude_ids", "b,c"),
            ("exclude_ids", "d"),
            ("filter", '{"must": []}'),
        ],
        headers=gateway.headers(),
    )
    assert answer.status_code == 200
    assert orjson.loads(gateway.recommender.last("/v1/recommendations")["body"]) == {
        "user_id": "ü/1",
        "count": 2,
        "context": {"asset_id": "a"},
        "exclude_ids": ["b,c", "d"],
        "filter": {"must": []},
    }


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("user_id=a&user_id=b", 400),
        ("context=5&context.url=x", 400),
        ("context.url=x&context={}", 400),
        ("filter={", 400),
        ("filter=", 400),
        ("count=0", 422),
        ("count=1000", 422),
        ("count=many", 422),
        ("colour=red", 422),
        ("context.colour=red", 422),
        ("placement.colour=red", 422),
        ("user_id=%00", 422),
        ("", 200),
    ],
)
def test_bad_queries_are_clear_problems(gateway: Gateway, query: str, status: int) -> None:
    answer = gateway.client.get(f"/v1/recommendations?{query}", headers=gateway.headers())
    assert answer.status_code == status, answer.get_data()


def breakdown(gateway: Gateway, how: str) -> None:
    state = gateway.recommender
    if how == "slow":
        state.delay_seconds = 0.6
    elif how == "nonsense":
        state.nonsense = True
    else:
        state.status = int(how)


@pytest.mark.parametrize("how", ["500", "503", "429", "302", "slow", "nonsense"])
def test_a_recommender_in_trouble_never_leaves_a_blank(stand_in: StandIn, how: str) -> None:
    gateway = make_gateway(stand_in, recommendation_timeout_seconds=0.3 if how == "slow" else 30)
    assert ask(gateway, {"user_id": "someone", "placement": "sidebar"}).status_code == 200
    breakdown(gateway, how)
    answer = ask(gateway)
    assert answer.status_code == 200
    assert [item["id"] for item in answer.json["items"]] == ["asset-1", "asset-2", "asset-3"]
    assert answer.json["meta"]["degraded"] is True
    assert answer.json["meta"]["tier"] == "popular"
    assert answer.json["warnings"][0]["code"] == "degraded"
    text = answer.get_data(as_text=True)
    for private in ("pumps", "logistics", "someone", "score", "decision", "rec-1"):
        assert private not in text, private
    assert gateway.count("fallback_answers_total", source="last_known_good") == 1


def test_the_ladder_goes_down_to_the_static_list_and_at_last_to_nothing(
    stand_in: StandIn, tmp_path: Path
) -> None:
    static = tmp_path / "static.json"
    static.write_bytes(orjson.dumps([content(41), content(42)]))
    gateway = make_gateway(stand_in, static_fallback_file=static)
    ask(gateway)
    stand_in.status = 503
    assert ask(gateway, {"placement": "sidebar", "count": 9}).json["meta"]["tier"] == "popular"
    elsewhere = ask(gateway, {"placement": "elsewhere"}).json
    assert (elsewhere["meta"]["tier"], [i["id"] for i in elsewhere["items"]]) == (
        "static",
        ["asset-41", "asset-42"],
    )
    static_ids = ["asset-41", "asset-42"]
    others = ask(gateway, {"placement": "elsewhere", "exclude_ids": static_ids}).json
    assert [i["id"] for i in others["items"]] == ["asset-1", "asset-2", "asset-3"]
    known = [*static_ids, *(f"asset-{n}" for n in range(1, 9))]
    nothing = ask(gateway, {"placement": "elsewhere", "exclude_ids": known})
    assert (nothing.status_code, nothing.json["items"]) == (200, [])
    assert nothing.json["meta"] | {"request_id": "", "timings_ms": {}} == {
        "request_id": "",
        "tier": "static",
        "degraded": True,
        "model_version": None,
        "catalogue_revision": None,
        "timings_ms": {},
    }
    assert gateway.count("recommendations_empty_total", placement="elsewhere") == 1


def test_a_fallback_keeps_to_filters_exclusions_and_the_page(gateway: Gateway) -> None:
    german = {"filter": {"must": [{"field": "language", "any_of": ["de"]}]}}
    ask(gateway, {"count": 8})
    gateway.recommender.catalogue = [content(7)]
    ask(gateway, german)
    gateway.recommender.status = 503
    assert [i["id"] for i in ask(gateway, german).json["items"]] == ["asset-7"]
    other = {"filter": {"must": [{"field": "language", "any_of": ["fr"]}]}}
    assert ask(gateway, other).json["items"] == []
    asked = {"exclude_ids": ["asset-1"], "context": {"asset_id": "asset-2"}, "count": 2}
    assert [i["id"] for i in ask(gateway, asked).json["items"]] == ["asset-3", "asset-4"]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT"])
def test_an_asset_that_was_changed_is_not_served_from_memory(gateway: Gateway, method: str) -> None:
    ask(gateway)
    body = {"title": "t", "url": "https://www.example.com/1"}
    gateway.client.open("/v1/assets/asset-1", method=method, json=body, headers=gateway.headers())
    gateway.recommender.status = 503
    assert [i["id"] for i in ask(gateway).json["items"]] == ["asset-2", "asset-3"]


def test_a_static_list_that_makes_no_sense_stops_the_start(stand_in: StandIn, tmp_path: Path) -> None:
    static = tmp_path / "static.json"
    static.write_text('[{"id": "a", "title": "t", "url": "javascript:alert(1)"}]')
    with pytest.raises(SettingsInvalid, match="0/url"):
        make_gateway(stand_in, static_fallback_file=static)
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        make_gateway(stand_in, static_fallback_file=tmp_path / "missing.json")


@pytest.mark.slow
def test_placements_beyond_fifty_are_counted_together(stand_in: StandIn) -> None:
    gateway = make_gateway(stand_in)
    for number in range(60):
        ask(gateway, {"placement": f"p{number}"})
    labels = {"channel": "web", "tier": "personal", "degraded": "false"}
    assert gateway.count("recommendations_total", placement="other", **labels) == 10
    assert gateway.count("recommendations_total", placement="p49", **labels) == 1


def test_explain_and_search_pass_through(gateway: Gateway) -> None:
    asked = {"user_id": "u", "asset_id": "asset-1"}
    answer = gateway.client.post("/v1/explain", json=asked, headers=gateway.headers())
    assert answer.json["eligible"] is True
    assert orjson.loads(gateway.recommender.last("/v1/explain")["body"]) == asked
    missing = gateway.client.post("/v1/explain", json={"user_id": "u"}, headers=gateway.headers())
    assert missing.json["errors"][0]["pointer"] == "/asset_id"
    found = gateway.client.get("/v1/search?q=Lieferkette+%C3%BCber+alles&count=2", headers=gateway.headers())
    assert len(found.json["items"]) == 2
    assert gateway.recommender.last("/v1/search")["query"] == "q=Lieferkette+%C3%BCber+alles&count=2"
    for query in ("", "q=", "q=%20", "q=x&colour=red"):
        assert gateway.client.get(f"/v1/search?{query}", headers=gateway.headers()).status_code == 422


def test_what_cannot_be_remembered_spoils_no_answer(gateway: Gateway) -> None:
    gateway.recommender.catalogue[0]["image_url"] = "data:image/png;base64,AAAA"
    assert [i["id"] for i in ask(gateway).json["items"]] == ["asset-1", "asset-2", "asset-3"]
    gateway.recommender.status = 503
    assert [i["id"] for i in ask(gateway).json["items"]] == ["asset-2", "asset-3"]


def test_an_expired_asset_is_not_served_from_memory(gateway: Gateway) -> None:
    gateway.recommender.catalogue[0]["expires_at"] = "2020-01-01T00:00:00Z"
    gateway.recommender.catalogue[1]["expires_at"] = "2999-01-01T00:00:00Z"
    ask(gateway)
    gateway.recommender.status = 503
    assert [i["id"] for i in ask(gateway).json["items"]] == ["asset-2", "asset-3"]
