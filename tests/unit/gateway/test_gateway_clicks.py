"""Click links: they cannot be read or forged, they are recorded once, and they always lead on."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.click_links import Click, ClickSealer
from servicekit.errors import NotFound
from unit.gateway.gateway_fixtures import PROJECT_SECRET, Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn

CLICK = Click("a/ü", "https://www.example.com/a?x=1&y=%C3%BC", "rec-1", "sidebar", "email", "buyer-7", None)


def link(gateway: Gateway, **asked: Any) -> str:
    answer = gateway.client.post("/v1/recommendations", json=asked, headers=gateway.headers())
    url: str = answer.json["items"][0]["click_url"]
    return url


def test_a_token_holds_the_click_and_hides_the_buyer() -> None:
    sealer = ClickSealer(PROJECT_SECRET)
    token = sealer.seal(CLICK)
    assert sealer.open(token) == CLICK
    assert token == sealer.seal(CLICK)
    raw = base64.urlsafe_b64decode(token + "==")
    assert b"buyer-7" not in raw
    assert b"example" not in raw


def test_a_token_changed_in_any_character_is_not_ours() -> None:
    token = ClickSealer(PROJECT_SECRET).seal(CLICK)
    with pytest.raises(NotFound):
        ClickSealer(b"another secret of 32 characters!").open(token)
    for place in range(len(token) - 1):
        forged = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(NotFound):
            ClickSealer(PROJECT_SECRET).open(forged)


@pytest.mark.parametrize("token", ["x", "AQ", "A" * 5000, "ü", "a.b.c", "%00", "AQAAAAAAAAAAAAAAAAAAAAAA"])
def test_a_forged_link_is_a_404(gateway: Gateway, token: str) -> None:
    answer = gateway.client.get(f"/c/{token}")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert "Location" not in answer.headers


def test_a_click_is_recorded_and_leads_to_the_assets_own_address(gateway: Gateway) -> None:
    url = link(gateway, user_id="u", placement="sidebar", channel="email")
    answer = gateway.client.get(url, headers={"User-Agent": "Browser/1"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://www.example.com/1")
    assert answer.headers["Cache-Control"] == "no-store"
    seen = gateway.recommender.last("/v1/signals")
    event = orjson.loads(seen["body"])
    assert (seen["query"], seen["headers"]["X-Buyer-Agent"]) == ("kind=track", "Browser/1")
    assert (event["event"], event["userId"]) == ("Recommendation Clicked", "u")
    assert event["properties"] == {
        "recommendation_id": "rec-1",
        "asset_id": "asset-1",
        "url": "https://www.example.com/1",
        "placement": "sidebar",
        "channel": "email",
    }
    gateway.client.get(url)
    assert orjson.loads(gateway.recommender.last("/v1/signals")["body"])["messageId"] == event["messageId"]
    assert gateway.count("clicks_total", outcome="recorded") == 2


def test_a_click_of_nobody_in_particular_still_counts(gateway: Gateway) -> None:
    gateway.client.get(link(gateway))
    event = orjson.loads(gateway.recommender.last("/v1/signals")["body"])
    assert event["anonymousId"].startswith("click-")
    assert "userId" not in event


def test_a_look_ahead_is_not_a_click(gateway: Gateway) -> None:
    url = link(gateway, user_id="u")
    before = len(gateway.recommender.seen)
    assert gateway.client.head(url).status_code == 302
    for header in ("Purpose", "Sec-Purpose", "X-Moz"):
        assert gateway.client.get(url, headers={header: "prefetch"}).status_code == 302
    assert len(gateway.recommender.seen) == before
    assert gateway.count("clicks_total", outcome="prefetch") == 4


def test_clicks_wait_while_the_recommender_is_away_and_are_dropped_only_when_full(stand_in: StandIn) -> None:
    gateway = make_gateway(stand_in, click_queue_size=2)
    urls = [link(gateway, user_id=f"u{number}") for number in range(3)]
    stand_in.status = 503
    for url in urls:
        assert gateway.client.get(url).status_code == 302
    assert gateway.count("clicks_total", outcome="queued") == 2
    assert gateway.count("clicks_total", outcome="dropped") == 1
    assert gateway.count("click_queue_clicks") == 2
    stand_in.status = 200
    gateway.parts.recommender.client.breaker.succeeded()
    gateway.parts.clicks.drain()
    assert [orjson.loads(seen["body"])["userId"] for seen in stand_in.seen[-2:]] == ["u0", "u1"]
    assert gateway.count("clicks_total", outcome="recorded_late") == 2
    assert gateway.count("click_queue_clicks") == 0
