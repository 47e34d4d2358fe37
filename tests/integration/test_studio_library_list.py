"""The library's list behind the studio's page: the API's filters over everything, on a real database."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import orjson

from recommender_rig import Rig


def found(rig: Rig, *must: dict[str, Any], **query: Any) -> list[str]:
    if must:
        query["filter"] = orjson.dumps({"must": list(must)}).decode()
    answer = rig.client.get(f"/internal/assets?{urlencode(query)}")
    assert answer.status_code == 200, answer.get_json()
    assert all(asset["body"] is None for asset in answer.get_json()["assets"])
    return sorted(asset["id"] for asset in answer.get_json()["assets"])


def of(field: str, *values: str) -> dict[str, Any]:
    return {"field": field, "any_of": list(values)}


def test_filters_are_those_of_the_api_and_hold_for_drafts_too(recommender: Rig) -> None:
    rig = recommender
    rig.put("a", topics=["GDP", "reefer"], personas=["it"], language="en", body="a text", type="blog")
    rig.put("b", topics=["GDP"], regions=["DACH"], language="de", status="draft", type="webinar")
    rig.put("c", industries=["pharma"], language="de", status="archived", stages={"decision": 1})
    rig.put("d", topics=["GDP"], language="en")
    rig.client.delete("/v1/assets/d")
    assert found(rig) == ["a", "b", "c"]
    assert found(rig, of("topics", "GDP")) == ["a", "b"]
    assert found(rig, of("topics", "GDP"), of("language", "de")) == ["b"]
    assert found(rig, of("topics", "GDP"), status="approved") == ["a"]
    assert found(rig, of("personas", "it")) == ["a"]
    assert found(rig, of("regions", "DACH"), of("type", "webinar")) == ["b"]
    assert found(rig, of("industries", "pharma")) == ["c"]
    assert found(rig, of("stage", "decision")) == ["c"]
    assert found(rig, of("topics", "nobody's")) == []
    assert found(rig, {"field": "published_at", "from": "2000-01-01"}) == ["a", "b", "c"]
    assert found(rig, {"field": "published_at", "to": "2000-01-01"}) == []
    tags = rig.client.get("/internal/asset-tags?most=1").get_json()
    assert tags["topics"] == [["GDP", 2]]
    assert tags["language"] == [["de", 2]]
    for wrong in ("filter=5", "filter={", 'filter={"must":[{"field":"money"}]}', "page_token=x"):
        assert rig.client.get(f"/internal/assets?{wrong}").status_code == 400, wrong
    assert rig.client.get("/internal/assets?status=lost").status_code == 422


def test_assets_of_a_search_come_at_once_in_its_order_without_what_is_gone(recommender: Rig) -> None:
    for asset_id in ("a", "b/c", "d"):
        recommender.put(asset_id, body="a text")
    recommender.client.delete("/v1/assets/d")
    answer = recommender.client.post("/internal/assets:named", json={"ids": ["d", "b/c", "x", "a"]})
    assert [asset["id"] for asset in answer.get_json()["assets"]] == ["b/c", "a"]
    assert answer.get_json()["assets"][0]["body"] is None
    for wrong in ([], ["a"] * 101, [5], ["\x00"]):
        assert recommender.client.post("/internal/assets:named", json={"ids": wrong}).status_code == 422


def test_a_list_makes_drafts_whatever_its_columns_are_called(recommender: Rig) -> None:
    rig = recommender
    rig.put("live", title="On the air")
    head = b"Asset ID,title,url,Status*,status\n"
    row = b"%s,T,https://a.example/%s,approved,approved\n"
    data = head + row % (b"live", b"l") + row % (b"fresh", b"f") + b",no id,https://a.example/n,,\n"

    def sent(query: str = "") -> list[tuple[str | None, str, str | None]]:
        answer = rig.client.post(f"/internal/assets:import{query}", data=data, content_type="text/csv")
        assert answer.status_code == 200
        return [(r.get("id"), r["result"], r.get("code")) for r in answer.get_json()["results"]]

    assert sent() == [
        (None, "failed", "duplicate_column"),
        ("live", "failed", "asset_exists"),
        ("fresh", "stored", None),
        (None, "failed", "id_missing"),
    ]
    assert rig.client.get("/v1/assets/live").get_json()["status"] == "approved"
    assert rig.client.get("/v1/assets/fresh").get_json()["status"] == "draft"
    assert sent("?replace=true")[1] == ("live", "stored", None)
    assert rig.client.get("/v1/assets/live").get_json()["status"] == "draft"


def test_a_file_does_not_put_itself_on_the_air(recommender: Rig) -> None:
    text = b"---\nstatus: approved\ntitle: Bold\n---\n\n# Bold\n\nA text that says it is approved already.\n"
    form = {"files": (io.BytesIO(text), "bold.md"), "base_url": "https://a.example", "status": "draft"}
    rig = recommender
    for data in (form, {**form, "files": (io.BytesIO(text), "bold.md")}):
        answer = rig.client.post(
            "/v1/assets:upload",
            data=data,
            content_type="multipart/form-data",
            headers={"If-None-Match": "*"},
        )
    assert rig.client.get("/v1/assets/bold").get_json()["status"] == "draft"
    again = answer.get_json()["results"][0]
    assert (again["code"], again["id"]) == ("asset_exists", "bold")
