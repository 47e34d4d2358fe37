"""Webhooks in the studio: what became of each delivery, and a second try for what failed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.studio.roles import Role
from integration.studio_place import Place, place, post
from unit.gateway.gateway_fixtures import stand_in, stand_in_server
from unit.gateway.gateway_stand_in import StandIn

__all__ = ["place", "stand_in", "stand_in_server"]

FAILED: dict[str, Any] = {
    "id": 7,
    "event_id": "evt_1",
    "type": "buyer.stage_changed",
    "endpoint_id": "crm",
    "state": "failed",
    "attempts": 9,
    "created_at": "2026-03-01T09:00:00Z",
    "next_attempt_at": None,
    "finished_at": "2026-03-04T09:00:00Z",
    "last_status": 500,
    "last_error": "<b>the other side</b> broke",
}
PENDING = {**FAILED, "id": 8, "state": "pending", "attempts": 1, "next_attempt_at": "2026-03-04T10:00:00Z"}


@pytest.fixture
def operator(place: Place) -> Any:
    return place.browser(place.person(Role.OPERATOR))


def test_the_page_tells_state_tries_and_last_error(operator: Any, stand_in: StandIn) -> None:
    stand_in.deliveries = [FAILED, PENDING]
    page = operator.get("/studio/webhooks?state=failed&endpoint_id=crm").text
    for told in ("buyer.stage_changed", "9 tries", "HTTP 500", "1 try", "4 Mar 2026, 10:00 UTC", "working"):
        assert told in page
    assert "&lt;b&gt;the other side&lt;/b&gt; broke" in page
    assert page.count("Send again") == 1  # what is pending is sent anyhow
    assert stand_in.last("/v1/webhooks/deliveries")["query"] == "page_size=50&endpoint_id=crm&state=failed"
    operator.get("/studio/webhooks?state=odd&page_token=x")
    assert stand_in.last("/v1/webhooks/deliveries")["query"] == "page_size=50"


def test_a_failed_delivery_is_sent_again_and_noted(operator: Any, place: Place, stand_in: StandIn) -> None:
    stand_in.deliveries = [FAILED]
    assert post(operator, "/webhooks/send-again", page="/webhooks", id="7").status_code == 303
    assert stand_in.last("/v1/webhooks/deliveries/7:retry")["method"] == "POST"
    assert place.desk.audit.page(limit=1)[0].action == "webhook.sent_again"


def test_a_disabled_endpoint_is_taken_up_as_it_was(operator: Any, place: Place, stand_in: StandIn) -> None:
    stand_in.hook = {"disabled_at": "2026-03-04T09:00:00Z", "disabled_reason": "It failed for three days."}
    page = operator.get("/studio/webhooks").text
    assert "It failed for three days." in page
    assert "Send a test" not in page
    assert post(operator, "/webhooks/take-up", page="/webhooks", id="crm").status_code == 303
    stored = stand_in.last("/v1/webhooks/endpoints/crm")
    assert (stored["method"], orjson.loads(stored["body"])) == (
        "PUT",
        {"url": "https://h.example/x", "events": ["asset.ready"], "description": ""},
    )
    assert place.desk.audit.page(limit=1)[0].action == "webhook.taken_up"


def test_an_endpoint_can_be_tried(operator: Any, stand_in: StandIn) -> None:
    assert post(operator, "/webhooks/test", page="/webhooks", id="crm").status_code == 303
    assert stand_in.last("/v1/webhooks/endpoints/crm:test")["method"] == "POST"
