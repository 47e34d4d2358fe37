"""POST /v1/signals:validate: what is told is what recording would do, and nothing is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from recommender_rig import NOON, Rig


def judged(rig: Rig, *events: Any, **headers: str) -> list[dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = rig.client.post("/v1/signals:validate", json={"batch": list(events)}, headers=named)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[dict[str, Any]] = answer.get_json()["events"]
    return found


def test_an_event_is_told_in_full_and_not_stored(recommender: Rig) -> None:
    recommender.put("paper", type="whitepaper", status="approved")
    event = {
        "type": "track",
        "userId": "u-1",
        "event": "Asset Downloaded",
        "properties": {"asset_id": "paper"},
        "context": {"groupId": "acme.example"},
        "originalTimestamp": (NOON + timedelta(days=365)).isoformat(),
        "sentAt": (NOON + timedelta(days=365, hours=1)).isoformat(),
    }
    (told,) = judged(recommender, event)
    assert (told["accepted"], told["type"], told["stage_signal"]) == (True, "download", "download_whitepaper")
    assert told["asset"]["found"] is True
    assert told["asset"]["by"] == "asset_id"
    assert told["identity"] == {"kind": "user", "id": "u-1", "joins": []}
    assert told["account_id"] == "acme.example"
    assert told["weight"] == 3.0
    assert told["clock"]["corrected_seconds"] == -timedelta(days=365).total_seconds() - 3600
    assert told["flags"] == []
    assert recommender.client.get("/v1/buyers/u-1").status_code == 404


def test_an_asset_is_found_by_its_page(recommender: Rig) -> None:
    recommender.put("paper", url="https://firm.example/paper")
    page = {
        "type": "page",
        "anonymousId": "a",
        "properties": {"url": "https://firm.example/paper?utm_source=x"},
    }
    (told,) = judged(recommender, page)
    assert (told["type"], told["asset"]["id"], told["asset"]["by"]) == ("view", "paper", "url")


def test_what_would_be_a_dead_letter_is_told_with_its_reason(recommender: Rig) -> None:
    bad = [{"type": "track", "event": "x"}, {"type": {}, "userId": "u"}, 7, {"type": "track", "userId": "u"}]
    told = judged(recommender, *bad)
    codes = [one["dead_letter"]["code"] for one in told]
    assert codes == ["no_identity", "type_unknown", "not_an_object", "event_missing"]


def test_what_is_worth_a_second_look_is_flagged(recommender: Rig) -> None:
    recommender.send({"userId": "u", "event": "x", "messageId": "once"}, call="track")
    event = {
        "type": "track",
        "userId": "u",
        "event": "Their Own",
        "messageId": "once",
        "properties": {"asset_id": "gone"},
        "context": {"userAgent": "Googlebot/2.1 (+http://www.google.com/bot.html)"},
    }
    (told,) = judged(recommender, event, Sec_GPC="1")
    assert {flag["code"] for flag in told["flags"]} == {
        "duplicate",
        "asset_unknown",
        "crawler",
        "event_unmapped",
        "opted_out",
    }
    assert told["weight"] == 0.0


@pytest.mark.parametrize("kind", ["track", "page", "identify"])
def test_the_call_may_be_named_by_the_path(recommender: Rig, kind: str) -> None:
    body = {"userId": "u", "event": "Pricing Viewed"}
    answer = recommender.client.post(f"/v1/signals:validate?kind={kind}", json=body)
    assert answer.get_json()["events"][0]["call"] == kind
    assert recommender.client.post("/v1/signals:validate?kind=odd", json=body).status_code == 400
