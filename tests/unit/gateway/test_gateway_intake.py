"""CloudEvents, HubSpot and tables of opportunities: what the recommender is told of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from gateway.intake import hubspot
from unit.gateway.gateway_fixtures import Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn

SECRET = "a-hubspot-app-secret"
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def told(gateway: Gateway) -> list[dict[str, Any]]:
    """The events that went on to the recommender last."""
    assert "kind=batch" in gateway.recommender.last("/v1/signals")["query"]
    found: list[dict[str, Any]] = orjson.loads(gateway.recommender.last("/v1/signals")["body"])["batch"]
    return found


def cloud_event(number: int = 1, **attributes: Any) -> CloudEvent:
    given = {
        "id": f"n-{number}",
        "source": "/crm",
        "specversion": "1.0",
        "type": "Asset Downloaded",
        "time": AT,
        "subject": "whitepaper-7",
        "userid": "u-1",
        "accountid": "acme.example",
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes={**given, **attributes}, data={"pages": 12, "Größe": "M"})


EXPECTED = {
    "type": "track",
    "event": "Asset Downloaded",
    "userId": "u-1",
    "groupId": "acme.example",
    "messageId": "/crm#n-1",
    "timestamp": "2026-05-01T12:00:00+00:00",
    "properties": {"pages": 12, "Größe": "M", "asset_id": "whitepaper-7"},
}


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
def test_a_cloud_event_in_either_mode(gateway: Gateway, write: Any) -> None:
    message = write(cloud_event())
    answer = gateway.client.post(
        "/v1/cloudevents", data=message.body, headers={**gateway.headers(), **message.headers}
    )
    assert (answer.status_code, answer.json["accepted"]) == (200, 1)
    assert told(gateway) == [EXPECTED]


def test_a_batch_of_cloud_events(gateway: Gateway) -> None:
    members = [orjson.loads(to_structured_event(cloud_event(n)).body) for n in (1, 2, 3)]
    answer = gateway.client.post(
        "/v1/cloudevents",
        data=orjson.dumps(members),
        headers=gateway.headers(**{"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}),
    )
    assert answer.json["accepted"] == 3
    assert [event["messageId"] for event in told(gateway)] == ["/crm#n-1", "/crm#n-2", "/crm#n-3"]


def test_a_tracking_event_within_a_cloud_event_is_taken_as_it_is(gateway: Gateway) -> None:
    event = {"type": "identify", "userId": "u-9", "traits": {"title": "CFO"}, "messageId": "own"}
    document = {"specversion": "1.0", "id": "1", "source": "/x", "type": "segment", "data": event}
    answer = gateway.client.post(
        "/v1/cloudevents",
        data=orjson.dumps(document),
        headers=gateway.headers(**{"Content-Type": "application/cloudevents+json"}),
    )
    assert answer.status_code == 200
    assert [event.items() <= one.items() for one in told(gateway)] == [True]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/cloudevents+json", b"{}"),
        ("application/cloudevents+json", b"\xff"),
        ("application/cloudevents+json", b"[1]"),
        ("application/cloudevents+json", b'{"specversion":"0.3","id":"1","source":"/","type":"x"}'),
        ("application/cloudevents+json", b'{"specversion":"1.0","id":"","source":"/","type":"x"}'),
        (
            "application/cloudevents+json",
            b'{"specversion":"1.0","id":"1","source":"/","type":"x","time":"no"}',
        ),
        ("application/cloudevents-batch+json", b"{}"),
        ("application/cloudevents-batch+json", b"[1, {}]"),
        ("application/json", b"{}"),
    ],
)
def test_what_is_no_cloud_event_is_a_400(gateway: Gateway, content_type: str, body: bytes) -> None:
    answer = gateway.client.post(
        "/v1/cloudevents", data=body, headers=gateway.headers(**{"Content-Type": content_type})
    )
    assert answer.status_code == 400, answer.get_data(as_text=True)
    assert gateway.recommender.seen == []


@pytest.fixture(scope="module")
def connected(stand_in_server: StandIn) -> Gateway:
    return make_gateway(stand_in_server, hubspot_client_secret=SECRET, public_url="https://edge.example.com")


def notice(**changes: Any) -> dict[str, Any]:
    now = 1_780_000_000_000
    given = {
        "portalId": 1,
        "eventId": 100,
        "objectId": 77,
        "occurredAt": now,
        "subscriptionType": "deal.creation",
    }
    return {**given, **changes}


def signed(body: bytes, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """As HubSpot documents version 3."""
    stamp = str(int((time.time() if at is None else at) * 1000))
    source = b"POSThttps://edge.example.com/v1/hubspot" + body + stamp.encode()
    digest = base64.b64encode(hmac.new(secret.encode(), source, hashlib.sha256).digest()).decode()
    return {"X-HubSpot-Signature-v3": digest, "X-HubSpot-Request-Timestamp": stamp}


def signed_the_old_way(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hashlib.sha256(secret.encode() + body).hexdigest()
    return {"X-HubSpot-Signature": digest, "X-HubSpot-Signature-Version": "v1"}


@pytest.mark.parametrize("sign", [signed, signed_the_old_way])
def test_hubspots_signatures_are_known(connected: Gateway, stand_in: StandIn, sign: Any) -> None:
    body = orjson.dumps([notice()])
    answer = connected.client.post("/v1/hubspot", data=body, headers=sign(body))
    assert answer.status_code == 200, answer.json
    assert told(connected)[0]["event"] == "Opportunity Opened"
    for forged in (sign(body, secret="another"), sign(b"[]")):
        refused = connected.client.post("/v1/hubspot", data=body, headers=forged)
        assert (refused.status_code, refused.json["code"]) == (401, "signature_invalid")


@pytest.mark.parametrize(
    ("ids", "user_id"),
    [("plain", "ada@example.com"), ("sha256", hashlib.sha256(b"ada@example.com").hexdigest()), ("off", None)],
)
def test_a_contacts_address_joins_it_to_the_buyer_if_ids_are_addresses(ids: Any, user_id: str | None) -> None:
    said = notice(
        subscriptionType="contact.propertyChange", propertyName="email", propertyValue=" Ada@Example.com"
    )
    (event,) = hubspot.tracking_events([said], ids)
    if user_id is None:
        assert (event["type"], event["userId"]) == ("identify", "hubspot-contact-77")
    else:
        assert (event["type"], event["previousId"], event["userId"]) == (
            "alias",
            "hubspot-contact-77",
            user_id,
        )
    assert ("Ada" in str(event)) == (ids == "off")
    emptied = {**said, "propertyValue": ""}
    assert hubspot.tracking_events([emptied], ids)[0]["type"] == "identify"


def test_an_old_or_early_signature_is_refused(connected: Gateway, stand_in: StandIn) -> None:
    body = orjson.dumps([notice()])
    for seconds, status in ((-301.0, 401), (-290.0, 200), (290.0, 200), (301.0, 401)):
        headers = signed(body, at=time.time() + seconds)
        assert connected.client.post("/v1/hubspot", data=body, headers=headers).status_code == status
    for stamp in ("", "soon", "9" * 40, "-1"):
        headers = {**signed(body), "X-HubSpot-Request-Timestamp": stamp}
        assert connected.client.post("/v1/hubspot", data=body, headers=headers).status_code == 401


def test_a_wrong_new_signature_is_not_saved_by_a_right_old_one(connected: Gateway, stand_in: StandIn) -> None:
    body = orjson.dumps([notice()])
    headers = {**signed_the_old_way(body), **signed(body, secret="another")}
    assert connected.client.post("/v1/hubspot", data=body, headers=headers).status_code == 401
    unsigned = connected.client.post("/v1/hubspot", data=body)
    assert (unsigned.status_code, unsigned.json["code"]) == (401, "signature_missing")
    assert stand_in.seen == []


def test_a_notice_sent_again_is_the_same_message(connected: Gateway, stand_in: StandIn) -> None:
    ids = []
    for attempt in (0, 1):
        body = orjson.dumps([notice(attemptNumber=attempt)])
        connected.client.post("/v1/hubspot", data=body, headers=signed(body))
        ids.append(told(connected)[0]["messageId"])
    assert ids[0] == ids[1]


def test_what_hubspot_says_becomes_what_we_know(connected: Gateway, stand_in: StandIn) -> None:
    body = orjson.dumps(
        [
            notice(subscriptionType="contact.propertyChange", propertyName="jobtitle", propertyValue="CFO"),
            notice(
                subscriptionType="contact.propertyChange",
                propertyName="foreword_user_id",
                propertyValue="u-1",
            ),
            notice(subscriptionType="company.propertyChange", propertyName="industry", propertyValue="Food"),
            notice(
                subscriptionType="deal.associationChange",
                associationType="DEAL_TO_COMPANY",
                fromObjectId=77,
                toObjectId=5,
            ),
            notice(
                subscriptionType="deal.propertyChange", propertyName="dealstage", propertyValue="closedwon"
            ),
            notice(
                subscriptionType="deal.propertyChange", propertyName="dealstage", propertyValue="appointment"
            ),
            notice(subscriptionType="ticket.creation"),
            notice(subscriptionType=None),
            "nonsense",
        ]
    )
    answer = connected.client.post("/v1/hubspot", data=body, headers=signed(body))
    assert answer.status_code == 200
    brief = [
        {k: v for k, v in event.items() if k not in ("messageId", "timestamp")} for event in told(connected)
    ]
    assert brief == [
        {"type": "identify", "userId": "hubspot-contact-77", "traits": {"jobtitle": "CFO"}},
        {"type": "alias", "previousId": "hubspot-contact-77", "userId": "u-1"},
        {
            "type": "group",
            "userId": "hubspot-company-77-record",
            "groupId": "hubspot-company-77",
            "traits": {"industry": "Food"},
        },
        {"type": "group", "userId": "hubspot-deal-77", "groupId": "hubspot-company-5"},
        {
            "type": "track",
            "userId": "hubspot-deal-77",
            "event": "Opportunity Won",
            "properties": {"opportunity_id": "77", "source": "hubspot"},
        },
    ]


def test_without_a_secret_there_is_no_such_address(gateway: Gateway) -> None:
    answer = gateway.client.post("/v1/hubspot", data=b"[]", headers=signed(b"[]"))
    assert (answer.status_code, answer.json["code"]) == (404, "hubspot_not_connected")


def test_a_table_of_opportunities(gateway: Gateway) -> None:
    table = (
        "\ufeffOpportunity_ID;account_id;stage;opened_at;closed_at;amount;owner\r\n"
        "o-1;acme.example;opened;2026-01-05;;1000;x\r\n"
        '"o;2";bolt.example;Closed Won;2026-01-06T10:00:00Z;2026-03-01;2000;x\r\n'
        "o-3;;won;;;;\r\n"
        "o-4;dune.example;maybe;;;;\r\n"
        "o-5;dune.example;lost;;yesterday;;\r\n"
        "o-6;dune.example;lost;;2026-04-01;;\r\n"
    )
    answer = gateway.client.post("/v1/opportunities:import", data=table.encode(), headers=gateway.headers())
    assert answer.status_code == 200
    assert (answer.json["accepted"], answer.json["rows"]) == (4, 6)
    assert [problem["line"] for problem in answer.json["problems"]] == [4, 5, 6]
    brief = [(e["event"], e["groupId"], e["timestamp"][:10], e["messageId"]) for e in told(gateway)]
    assert brief == [
        ("Opportunity Opened", "acme.example", "2026-01-05", "opportunity-o-1-opened"),
        ("Opportunity Opened", "bolt.example", "2026-01-06", "opportunity-o;2-opened"),
        ("Opportunity Won", "bolt.example", "2026-03-01", "opportunity-o;2-won"),
        ("Opportunity Lost", "dune.example", "2026-04-01", "opportunity-o-6-lost"),
    ]


@pytest.mark.parametrize(
    "body", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'opportunity_id,account_id,stage\n"' + b"x" * 200_000]
)
def test_what_is_no_such_table_is_a_400(gateway: Gateway, body: bytes) -> None:
    answer = gateway.client.post("/v1/opportunities:import", data=body, headers=gateway.headers())
    assert answer.status_code == 400
    assert gateway.recommender.seen == []


@pytest.mark.parametrize("path", ["cloudevents", "opportunities:import", "signals:validate"])
def test_a_browser_may_not(gateway: Gateway, path: str) -> None:
    answer = gateway.client.post(f"/v1/{path}", data=b"{}", headers=gateway.headers(gateway.publishable))
    assert (answer.status_code, answer.json["code"]) == (403, "secret_key_needed")
