"""The library's list behind the studio's page: the API's filters over everything, on a real database."""

from __future__ import annotations

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
