"""Webhooks out on a real database, to a real receiver that checks signatures with the official library."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from recommender_rig import Rig, RigMaker, code


@dataclass
class Receiver:
    """Takes webhooks on a port of this machine; `status` is what it answers."""

    url: str = ""
    status: int = 204
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [orjson.loads(body) for _, body in self.seen]
        return [event for event in found if kind in (None, event["type"])]


@pytest.fixture(scope="module")
def receiving() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver(receiving: Receiver) -> Receiver:
    receiving.seen.clear()
    receiving.status = 204
    return receiving


@pytest.fixture
def rig(make_recommender: RigMaker) -> Rig:
    rig = make_recommender(webhook_allow_private=True)
    rig.clock.now = datetime.now(UTC)  # receivers refuse a signature of long ago
    return rig


def subscribe(rig: Rig, receiver: Receiver, *events: str, name: str = "crm", **more: Any) -> dict[str, Any]:
    body = {"url": receiver.url, "events": list(events), **more}
    answer = rig.client.put(f"/v1/webhooks/endpoints/{name}", json=body)
    assert answer.status_code in (200, 201), answer.get_data(as_text=True)
    look(rig)
    found: dict[str, Any] = answer.json  # type: ignore[assignment]
    return found


def look(rig: Rig) -> None:
    """What the two loops do, once."""
    rig.parts["folder"].fold_stale()
    rig.parts["webhooks"].changes.step()
    rig.parts["webhooks"].deliverer.step()


def track(rig: Rig, user: str, event: str, number: int = 0, **more: Any) -> None:
    rig.clock.advance(seconds=1)
    sent = {"type": "track", "event": event, "userId": user, "messageId": f"{user}-{event}-{number}", **more}
    assert rig.send(sent).status_code == 200


def test_a_ready_asset_is_told_once_and_signed(rig: Rig, receiver: Receiver) -> None:
    rig.put("before")
    endpoint = subscribe(rig, receiver, "asset.ready")
    rig.put("after", title="Choosing a supplier")
    rig.put("draft", status="draft")
    look(rig)
    look(rig)
    (headers, body), *others = receiver.seen
    assert others == []
    event = Webhook(endpoint["secret"]).verify(body.decode(), headers)
    assert (event["type"], event["data"]["id"]) == ("asset.ready", "after")
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(body.decode().replace("after", "other"), headers)
    rig.client.patch(rig.path("draft"), json={"status": "approved"})
    look(rig)
    assert [e["data"]["id"] for e in receiver.events()] == ["after", "draft"]


def test_a_known_buyers_new_stage_is_told_with_where_it_came_from(rig: Rig, receiver: Receiver) -> None:
    rig.put("asset")
    track(rig, "old", "Content Viewed", properties={"asset_id": "asset"})
    rig.clock.advance(hours=1)
    subscribe(rig, receiver, "buyer.stage_changed")
    assert receiver.events() == []
    before = rig.buyer("old")["stage"]["name"]
    for number in range(3):
        track(rig, "old", "Demo Requested", number)
        track(rig, "old", "Pricing Viewed", number)
    track(rig, "old", "Opportunity Opened")
    look(rig)
    now = rig.buyer("old")["stage"]["name"]
    assert before != now
    (event,) = receiver.events("buyer.stage_changed")
    assert (event["data"]["user_id"], event["data"]["from"], event["data"]["to"]) == ("old", before, now)
    look(rig)
    assert len(receiver.seen) == 1


def test_an_anonymous_visitor_is_nobodys_news(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "buyer.stage_changed")
    rig.send({"type": "track", "event": "Demo Requested", "anonymousId": "a", "messageId": "m"})
    look(rig)
    assert receiver.seen == []


def test_a_surging_account_is_told_once_a_topic(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "account.surging")
    for number in range(12):
        rig.put(f"alarm-{number}", topics=["alarms"])
    for person in range(4):
        for number in range(12):
            track(
                rig,
                f"p-{person}",
                "Asset Downloaded",
                number,
                properties={"asset_id": f"alarm-{number}"},
                context={"groupId": "acme"},
            )
    look(rig)
    assert rig.client.get("/v1/accounts/acme").json["surging_topics"]  # type: ignore[index]
    (event,) = receiver.events("account.surging")
    assert (event["data"]["account_id"], event["data"]["new_topics"]) == ("acme", ["alarms"])
    track(rig, "p-0", "Content Viewed", 99, context={"groupId": "acme"})
    look(rig)
    assert len(receiver.events("account.surging")) == 1


def test_what_fails_is_tried_again_ever_later_and_arrives_once_it_can(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "asset.ready")
    receiver.status = 500
    rig.put("asset")
    look(rig)
    waits = []
    row: dict[str, Any] = {}
    for _ in range(3):
        (row,) = rig.client.get("/v1/webhooks/deliveries").json["deliveries"]  # type: ignore[index]
        waits.append(rig.rows("SELECT next_attempt_at FROM recommender.webhook_deliveries")[0][0])
        look(rig)
        rig.clock.now = waits[-1]
        look(rig)
    assert (row["state"], row["last_status"]) == ("pending", 500)
    assert [len(receiver.seen), sorted(waits)] == [4, waits]
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
    receiver.status = 200
    rig.clock.advance(hours=1)
    look(rig)
    (row,) = rig.client.get("/v1/webhooks/deliveries?state=delivered").json["deliveries"]  # type: ignore[index]
    assert (row["attempts"], row["last_status"], row["next_attempt_at"]) == (5, 200, None)


def test_a_delivery_whose_sender_died_is_sent_by_another(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "asset.ready")
    rig.put("asset")
    rig.parts["webhooks"].changes.step()
    claimed = rig.parts["webhooks"].deliverer._claim()
    assert len(claimed) == 1
    look(rig)
    assert receiver.seen == []
    rig.clock.advance(seconds=61)
    look(rig)
    assert len(receiver.seen) == 1


def test_an_endpoint_that_fails_for_days_is_disabled_and_taken_up_again(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "asset.ready")
    receiver.status = 503
    rig.put("asset")
    for _ in range(20):
        rig.clock.advance(hours=5)
        look(rig)
    found = rig.client.get("/v1/webhooks/endpoints/crm").json
    assert found is not None
    assert found["disabled_at"] is not None
    assert "3 days" in found["disabled_reason"]
    sent = len(receiver.seen)
    rig.clock.advance(days=2)
    look(rig)
    assert len(receiver.seen) == sent
    receiver.status = 200
    subscribe(rig, receiver, "asset.ready")
    assert len(receiver.seen) == sent + 1
    gone = rig.client.get("/v1/webhooks/endpoints/crm").json
    assert gone is not None
    assert (gone["disabled_at"], gone["failing_since"]) == (None, None)


def test_a_receiver_that_says_gone_is_left_alone(rig: Rig, receiver: Receiver) -> None:
    subscribe(rig, receiver, "asset.ready")
    receiver.status = 410
    rig.put("asset")
    look(rig)
    rig.clock.advance(days=1)
    look(rig)
    assert len(receiver.seen) == 1


def test_a_rotated_secret_and_the_old_one_both_sign_for_a_day(rig: Rig, receiver: Receiver) -> None:
    first = subscribe(rig, receiver, "asset.ready")["secret"]
    second = subscribe(rig, receiver, "asset.ready", rotate_secret=True)["secret"]
    assert first != second
    assert rig.client.get("/v1/webhooks/endpoints/crm").json["secret"] is None  # type: ignore[index]
    rig.client.post("/v1/webhooks/endpoints/crm:test")
    look(rig)
    headers, body = receiver.seen[-1]
    for secret in (first, second):
        assert Webhook(secret).verify(body.decode(), headers)["type"] == "webhook.test"
    rig.clock.advance(hours=25)
    rig.client.post("/v1/webhooks/endpoints/crm:test")
    look(rig)
    headers, _ = receiver.seen[-1]
    assert len(headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "https://127.0.0.1/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest",
        "https://localhost/x",
        "https://user:pw@example.com/x",
    ],
)
def test_an_address_inside_is_refused(make_recommender: RigMaker, url: str) -> None:
    rig = make_recommender()
    answer = rig.client.put("/v1/webhooks/endpoints/x", json={"url": url, "events": ["asset.ready"]})
    assert code(answer) == (422, "fields_invalid")


def test_a_name_that_leads_inside_is_never_called(
    make_recommender: RigMaker, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged when it is called, at the address that is called: a name may change after it was stored."""
    rig = make_recommender()
    client = rig.parts["webhooks"].deliverer._client
    answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]
    monkeypatch.setattr(client, "_resolve", lambda *_: answers[0])
    port = receiver.url.rpartition(":")[2].removesuffix("/hook")
    body = {"url": f"https://rebinding.example:{port}/hook", "events": ["asset.ready"]}
    assert rig.client.put("/v1/webhooks/endpoints/x", json=body).status_code == 201
    for _ in answers:
        rig.client.post("/v1/webhooks/endpoints/x:test")
        look(rig)
        answers.reverse()
    rows = rig.client.get("/v1/webhooks/deliveries").json["deliveries"]  # type: ignore[index]
    assert {row["last_error"] for row in rows} == {"The URL points into a private network."}
    assert receiver.seen == []


def test_an_erased_buyer_is_told_of_no_more(rig: Rig, receiver: Receiver) -> None:
    receiver.status = 500
    subscribe(rig, receiver, "buyer.stage_changed")
    for number in range(3):
        track(rig, "gone", "Demo Requested", number)
    look(rig)
    assert len(rig.rows("SELECT * FROM recommender.webhook_events")) == 1
    rig.client.post("/v1/buyers/gone:erase")
    for table in ("webhook_events", "webhook_deliveries"):
        assert rig.rows(f"SELECT * FROM recommender.{table}") == []


def test_deliveries_are_listed_newest_first_page_by_page_and_can_be_sent_again(
    rig: Rig, receiver: Receiver
) -> None:
    subscribe(rig, receiver, "asset.ready")
    for number in range(3):
        rig.put(f"asset-{number}")
    look(rig)
    first = rig.client.get("/v1/webhooks/deliveries?page_size=2").json
    assert first is not None
    second = rig.client.get(f"/v1/webhooks/deliveries?page_size=2&page_token={first['next_page_token']}").json
    assert second is not None
    ids = [row["id"] for row in (*first["deliveries"], *second["deliveries"])]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    # A digit to `str.isdigit`, and nothing that a database or `int` would take for one.
    assert rig.client.get("/v1/webhooks/deliveries?page_token=²").status_code == 400
    assert rig.client.post(f"/v1/webhooks/deliveries/{ids[0]}:retry").status_code == 204
    look(rig)
    assert len(receiver.seen) == 4
    assert code(rig.client.post("/v1/webhooks/deliveries/999999:retry")) == (404, "delivery_not_found")
    assert rig.client.delete("/v1/webhooks/endpoints/crm").status_code == 204
    assert code(rig.client.get("/v1/webhooks/endpoints/crm")) == (404, "endpoint_not_found")
