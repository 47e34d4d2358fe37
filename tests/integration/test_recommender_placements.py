"""Placement rules over HTTP on a real PostgreSQL: stored, checked, and in force on every replica at once."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from contract.placements import PlacementHistory, PlacementOutput
from recommender.service import placements as placement_service
from recommender_rig import Rig, RigMaker, SettableClock, code


def put(rig: Rig, placement: str, headers: dict[str, str] | None = None, **rules: Any) -> TestResponse:
    return rig.client.put(f"/v1/placements/{quote(placement, safe='')}", json=rules, headers=headers)


def stored(rig: Rig, placement: str, **rules: Any) -> dict[str, Any]:
    answer = put(rig, placement, **rules)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    PlacementOutput.model_validate(answer.json)
    return answer.json


def ranked(rig: Rig, **request: Any) -> list[str]:
    return [item["id"] for item in rig.recommend(placement="sidebar", **request)["items"]]


def codes(answer: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


@pytest.fixture
def firm(recommender: Rig) -> Rig:
    for n in range(4):
        recommender.put(f"blog-{n}", type="blog", topics=["GDP"])
    for n in range(3):
        recommender.put(f"paper-{n}", type="whitepaper", topics=["Audit"])
    return recommender


BLOGS = {"must": [{"field": "type", "any_of": ["blog"]}]}


def test_each_rule_does_what_it_says(firm: Rig) -> None:
    everything = set(ranked(firm))
    assert len(everything) == 7
    stored(firm, "sidebar", pin=["paper-2", "blog-3"])
    assert ranked(firm)[:2] == ["paper-2", "blog-3"]
    assert firm.recommend(placement="sidebar")["items"][0]["reasons"][0]["code"] == "pinned"
    stored(firm, "sidebar", boost=[{"filter": BLOGS, "strength": 50}])
    assert all(asset_id.startswith("blog") for asset_id in ranked(firm)[:3])
    stored(firm, "sidebar", bury=[{"asset_ids": ["paper-0"], "filter": BLOGS, "strength": 50}])
    assert set(ranked(firm, count=2)) == {"paper-1", "paper-2"}
    stored(
        firm, "sidebar", exclude=["blog-0", {"filter": {"must": [{"field": "topics", "any_of": ["Audit"]}]}}]
    )
    assert set(ranked(firm)) == {"blog-1", "blog-2", "blog-3"}
    why = firm.client.post("/v1/explain", json={"placement": "sidebar", "asset_id": "paper-1"}).json
    assert why is not None
    assert [one["code"] for one in why["exclusions"]] == ["rule"]
    stored(firm, "sidebar", quotas=[{"filter": BLOGS, "at_most": 1}])
    shown = ranked(firm)
    assert sorted(asset_id[:5] for asset_id in shown) == ["blog-", "paper", "paper", "paper"]
    stored(firm, "sidebar", quotas=[{"filter": BLOGS, "at_most": 0}])
    assert set(ranked(firm)) == {"paper-0", "paper-1", "paper-2"}
    stored(firm, "sidebar", max_per_type=2)
    assert sorted(asset_id[:5] for asset_id in ranked(firm)) == ["blog-", "blog-", "paper", "paper"]
    stored(firm, "sidebar", static=["paper-1", "blog-2"])
    assert ranked(firm)[:2] == ["paper-1", "blog-2"]
    assert set(ranked(firm)) == everything
    assert firm.client.delete("/v1/placements/sidebar").status_code == 204
    assert set(ranked(firm)) == everything


def test_rules_hold_for_their_placement_alone(firm: Rig) -> None:
    stored(firm, "sidebar", exclude=[{"filter": BLOGS}])
    assert len(ranked(firm)) == 3
    assert len(firm.recommend(placement="footer")["items"]) == 7
    assert len(firm.recommend()["items"]) == 7


def test_a_rule_that_excludes_everything_leaves_nothing_and_says_so(firm: Rig) -> None:
    assert stored(firm, "sidebar", exclude=[{"filter": {"must_not": [{"field": "type", "any_of": ["x"]}]}}])[
        "warnings"
    ] == [{"code": "everything_excluded", "detail": "These rules leave nothing that could be shown."}]
    answer = firm.recommend(placement="sidebar")
    assert answer["items"] == []
    assert {"fewer_than_asked", "rules_leave_nothing"} <= set(codes(answer))
    stored(firm, "sidebar", exclude=[f"blog-{n}" for n in range(4)] + ["paper-0", "paper-1"])
    answer = firm.recommend(placement="sidebar", count=3)
    assert [item["id"] for item in answer["items"]] == ["paper-2"]
    assert codes(answer) == ["fewer_than_asked"]


def test_a_cap_lets_an_asset_rest(firm: Rig, clock: SettableClock) -> None:
    stored(firm, "sidebar", frequency_cap={"shows": 2, "days": 3})
    for n in range(2):
        shown = {"type": "track", "event": "Recommendation Viewed", "messageId": f"m{n}", "userId": "u"}
        firm.send({**shown, "properties": {"asset_id": "blog-0"}})
        assert ("blog-0" in ranked(firm, user_id="u")) == (n == 0)
        clock.advance(seconds=1)
    assert "blog-0" in ranked(firm, user_id="other")
    clock.advance(days=3)
    assert "blog-0" in ranked(firm, user_id="u")


def test_a_pin_is_not_shown_to_who_has_read_it(firm: Rig) -> None:
    stored(firm, "sidebar", pin=["blog-0"])
    read = {"type": "track", "event": "Content Viewed", "messageId": "m", "userId": "u"}
    firm.send({**read, "properties": {"asset_id": "blog-0"}})
    assert "blog-0" not in ranked(firm, user_id="u")
    assert ranked(firm, user_id="other")[0] == "blog-0"


def test_every_replica_follows_with_its_next_answer(make_recommender: RigMaker) -> None:
    one, other = make_recommender(), make_recommender()
    for name in ("a", "b"):
        one.put(name)
    assert set(ranked(other)) == {"a", "b"}
    stored(one, "sidebar", exclude=["a"])
    assert ranked(other) == ["b"]
    stored(other, "sidebar", exclude=["b"])
    assert ranked(one) == ["a"]
    one.client.delete("/v1/placements/sidebar")
    assert set(ranked(other)) == {"a", "b"}


def test_who_and_when_are_kept_of_every_version(firm: Rig, clock: SettableClock) -> None:
    first = put(firm, "sidebar", {"X-Actor": "user:ann@firm.example"}, pin=["blog-0"], name="Sidebar")
    assert first.json is not None
    assert (first.json["version"], first.json["changed_by"]) == (1, "user:ann@firm.example")
    etag = first.headers["ETag"]
    clock.advance(hours=1)
    assert put(firm, "sidebar", {"If-Match": etag, "X-Actor": "key:key_1"}, pin=["blog-1"]).status_code == 200
    assert code(put(firm, "sidebar", {"If-Match": etag}, pin=[])) == (412, "revision_mismatch")
    assert code(put(firm, "sidebar", {"If-None-Match": "*"})) == (412, "revision_mismatch")
    assert firm.client.delete("/v1/placements/sidebar", headers={"If-Match": etag}).status_code == 412
    assert firm.client.delete("/v1/placements/sidebar").status_code == 204
    assert code(firm.client.delete("/v1/placements/sidebar")) == (404, "placement_not_found")
    assert stored(firm, "sidebar")["version"] == 4
    history = firm.client.get("/v1/placements/sidebar:history").json
    assert history is not None
    PlacementHistory.model_validate(history)
    assert [(v["version"], v["changed_by"], v["rules"] is None) for v in history["versions"]] == [
        (4, "unknown", False),
        (3, "unknown", True),
        (2, "key:key_1", False),
        (1, "user:ann@firm.example", False),
    ]
    assert history["versions"][3]["rules"]["name"] == "Sidebar"
    assert history["versions"][2]["changed_at"] == "2026-06-01T13:00:00Z"
    assert code(firm.client.get("/v1/placements/nobody:history")) == (404, "placement_not_found")


def test_what_is_stored_is_what_is_read(firm: Rig) -> None:
    rules: dict[str, Any] = {
        "name": "Sidebar",
        "pin": ["blog-0"],
        "boost": [{"asset_ids": ["blog-1"], "filter": BLOGS, "strength": 0.5}],
        "bury": [{"filter": BLOGS}],
        "exclude": ["paper-0", {"filter": BLOGS}],
        "quotas": [{"filter": BLOGS, "at_most": 2}],
        "max_per_type": 3,
        "frequency_cap": {"shows": 4},
        "static": ["paper-1"],
    }
    written = stored(firm, "odd/placement:ö", **rules)
    read = firm.client.get("/v1/placements/odd%2Fplacement%3A%C3%B6").json
    assert read is not None
    assert read == {**written, "warnings": []}
    assert read["exclude"][0] == {"asset_ids": ["paper-0"], "filter": None}
    assert read["bury"][0]["strength"] == 1.0
    assert read["frequency_cap"] == {"shows": 4, "days": 30.0}
    listed = firm.client.get("/v1/placements").json
    assert listed is not None
    assert listed["placements"] == [read]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"pins": []}, "/pins"),
    ({"pin": "blog-0"}, "/pin"),
    ({"pin": [""]}, "/pin/0"),
    ({"pin": [str(n) for n in range(51)]}, "/pin"),
    ({"boost": [{"strength": 1}]}, "/boost/0"),
    ({"boost": [{"asset_ids": ["a"], "strength": 0}]}, "/boost/0/strength"),
    ({"boost": [{"asset_ids": ["a"], "strength": 1e9}]}, "/boost/0/strength"),
    ({"bury": [{"filter": {"must": [{"field": "colour", "any_of": ["x"]}]}}]}, "/bury/0/filter/must/0/field"),
    ({"exclude": [{"filter": {"any": []}}]}, "/exclude/0/filter/any"),
    (
        {"exclude": [{"filter": {"must": [{"field": "topics", "any_of": ["\x00"]}]}}]},
        "/exclude/0/filter/must/0/any_of/0",
    ),
    ({"quotas": [{"filter": {"must": 1}, "at_most": 1}]}, "/quotas/0/filter/must"),
    ({"quotas": [{"asset_ids": ["a"], "at_most": -1}]}, "/quotas/0/at_most"),
    ({"max_per_type": 0}, "/max_per_type"),
    ({"frequency_cap": {"shows": 0}}, "/frequency_cap/shows"),
    ({"frequency_cap": {"days": 1}}, "/frequency_cap/shows"),
]


@pytest.mark.parametrize(("rules", "pointer"), MISTAKES)
def test_what_makes_no_sense_is_refused_by_name(
    recommender: Rig, rules: dict[str, Any], pointer: str
) -> None:
    answer = put(recommender, "sidebar", **rules)
    assert code(answer) == (422, "fields_invalid")
    assert answer.json is not None
    assert pointer in {field["pointer"] for field in answer.json["errors"]}
    assert code(recommender.client.get("/v1/placements/sidebar")) == (404, "placement_not_found")


def test_every_wrong_filter_is_named_at_once(recommender: Rig) -> None:
    wrong = {"filter": {"must": [{"field": "colour", "any_of": ["x"]}]}}
    answer = put(recommender, "sidebar", boost=[wrong, wrong], exclude=[wrong])
    assert answer.json is not None
    assert len(answer.json["errors"]) == 3


def test_an_unknown_pin_is_kept_and_told(firm: Rig) -> None:
    answer = stored(firm, "sidebar", pin=["blog-0", "not-yet"])
    assert [(w["code"], "not-yet" in w["detail"]) for w in answer["warnings"]] == [("asset_unknown", True)]
    firm.put("not-yet")
    assert ranked(firm)[:2] == ["blog-0", "not-yet"]


def test_there_are_only_so_many_placements(recommender: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_service, "MOST_PLACEMENTS", 1)
    stored(recommender, "one")
    stored(recommender, "one", max_per_type=1)
    assert code(put(recommender, "two")) == (422, "too_many_placements")


def test_rules_can_be_tried_before_they_are_stored(firm: Rig) -> None:
    asked = {"rules": {"exclude": [{"filter": BLOGS}]}, "request": {"placement": "sidebar", "count": 50}}
    tried = firm.client.post("/v1/placements:preview", json=asked)
    assert tried.json is not None
    assert {item["id"] for item in tried.json["items"]} == {"paper-0", "paper-1", "paper-2"}
    assert len(ranked(firm)) == 7
    wrong = {"rules": {"exclude": [{"filter": {"x": 1}}]}}
    assert code(firm.client.post("/v1/placements:preview", json=wrong)) == (422, "fields_invalid")
