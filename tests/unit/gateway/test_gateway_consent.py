"""Consent at the moment of recommending: what the recommender is asked is all that it could use."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from unit.gateway.gateway_fixtures import Gateway

BUYER = {"user_id": "u-1", "anonymous_id": "a-1", "account_id": "acme.example"}
PAGE = {"asset_id": "asset-3", "url": "https://www.example.com/3", "query": "pumps"}


def asked(gateway: Gateway, document: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = gateway.client.post("/v1/recommendations", json=document, headers=gateway.headers(**headers))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = orjson.loads(gateway.recommender.last("/v1/recommendations")["body"])
    return found


def test_with_consent_to_a_profile_the_buyer_is_asked_about(gateway: Gateway) -> None:
    assert BUYER.items() <= asked(gateway, {**BUYER, "consent": "profile"}).items()
    assert BUYER.items() <= asked(gateway, BUYER).items()


@pytest.mark.parametrize("consent", ["contextual", "none"])
def test_without_it_nobody_is_named(gateway: Gateway, consent: str) -> None:
    document = asked(gateway, {**BUYER, "context": PAGE, "consent": consent})
    assert not any(document.get(name) for name in BUYER)
    if consent == "contextual":
        assert document["context"] == PAGE
    else:
        assert not any(document["context"].values())
        assert document["exclude_ids"] == ["asset-3"]


def test_the_click_links_of_such_an_answer_name_nobody(gateway: Gateway) -> None:
    answer = gateway.client.post(
        "/v1/recommendations", json={**BUYER, "consent": "contextual"}, headers=gateway.headers()
    )
    token = answer.json["items"][0]["click_url"].rpartition("/")[2]
    gateway.client.get(f"/c/{token}")
    click = orjson.loads(gateway.recommender.last("/v1/signals")["body"])
    assert "userId" not in click
    assert click["anonymousId"].startswith("click-")


def test_sec_gpc_takes_the_profile_away(gateway: Gateway) -> None:
    assert "u-1" not in str(asked(gateway, {**BUYER, "context": PAGE}, **{"Sec-GPC": "1"}))
    assert asked(gateway, BUYER, **{"Sec-GPC": "0"})["user_id"] == "u-1"


def test_the_query_form_takes_consent_too(gateway: Gateway) -> None:
    gateway.client.get("/v1/recommendations?user_id=u-1&consent=none", headers=gateway.headers())
    assert "u-1" not in str(gateway.recommender.last("/v1/recommendations")["body"])


def test_a_batch_line_has_its_own_consent(gateway: Gateway) -> None:
    lines = [{"user_id": "u-1"}, {"user_id": "u-2", "consent": "contextual"}]
    body = b"\n".join(map(orjson.dumps, lines))
    answer = gateway.client.post("/v1/recommendations:batch", data=body, headers=gateway.headers())
    assert len(answer.get_data().splitlines()) == 2
    sent = gateway.recommender.last("/v1/recommendations:batch")["body"]
    assert b"u-1" in sent
    assert b"u-2" not in sent


def test_another_word_is_a_422(gateway: Gateway) -> None:
    answer = gateway.client.post(
        "/v1/recommendations", json={"user_id": "u-1", "consent": "maybe"}, headers=gateway.headers()
    )
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/consent"
