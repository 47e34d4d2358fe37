"""Bodies that other systems send: CloudEvents, HubSpot, a table of opportunities."""

from __future__ import annotations

from typing import Any

import orjson

from fuzz.dice import Dice
from fuzz.registry import NOON, SECRET, dumped, target
from fuzz.tracking_targets import EVENT_NAMES, EVENT_WORDS


@target(
    "cloud_events",
    b'{"specversion":"1.0","type":"t","source":"s","id":"1","data":{"userId":"u"}}',
    b'[{"specversion":"1.0","type":"t","source":"s","id":"1"}]',
    b"[" * 400 + b"]" * 400,
    weight=30,
)
def cloud_events(data: bytes) -> None:
    from gateway.intake.cloud_events import BATCH_TYPE, STRUCTURED_TYPE, tracking_events
    from servicekit.errors import BadRequest, Unprocessable

    dice = Dice(data[1:])
    headers = {"content-type": dice.pick((STRUCTURED_TYPE, BATCH_TYPE, "application/json", "text/plain", ""))}
    body = data
    if data[:1] == b"\x01":
        names = (
            "specversion",
            "type",
            "source",
            "id",
            "time",
            "subject",
            "data",
            "data_base64",
            "userid",
            "accountid",
            "datacontenttype",
            *EVENT_NAMES,
        )
        one = {
            "specversion": "1.0",
            "type": "t",
            "source": "s",
            "id": "1",
            **dice.document(names, EVENT_WORDS),
        }
        body = dumped([one] if headers["content-type"] == BATCH_TYPE else one)
        for name in ("specversion", "type", "source", "id", "time", "userid"):
            if dice.below(3) == 0:
                headers[f"ce-{name}"] = dice.text(("1.0", "2026-01-01T00:00:00Z"))
    try:
        _sent_on(tracking_events(headers, body))
    except (BadRequest, Unprocessable):
        return


def _sent_on(events: list[dict[str, Any]]) -> None:
    """What the gateway does with what it took in."""
    from gateway.api.intake import _batch

    _batch(events)


@target(
    "hubspot",
    b'[{"subscriptionType":"contact.propertyChange","objectId":1,"propertyName":"email","propertyValue":"e"}]',
    b"[" * 600 + b"]" * 600,
    weight=50,
)
def hubspot(data: bytes) -> None:
    from gateway.intake.hubspot import check_signature, tracking_events
    from servicekit.errors import BadRequest, Unauthenticated, Unprocessable

    dice = Dice(data[1:])
    names = (
        "subscriptionType",
        "objectId",
        "propertyName",
        "propertyValue",
        "occurredAt",
        "eventId",
        "portalId",
        "associationType",
        "fromObjectId",
        "toObjectId",
        "associationRemoved",
    )
    words = (
        "contact.creation",
        "contact.propertyChange",
        "company.propertyChange",
        "deal.creation",
        "deal.propertyChange",
        "contact.associationChange",
        "deal.associationChange",
        "foreword_user_id",
        "foreword_account_id",
        "dealstage",
        "closedwon",
        "DEAL_TO_COMPANY",
    )
    body = (
        dumped([dice.document(names, words) for _ in range(1 + dice.below(3))])
        if data[:1] == b"\x01"
        else data
    )
    headers = {
        "x-hubspot-signature-v3": dice.text(),
        "x-hubspot-request-timestamp": dice.text(("1780315200000", "1" * 20)),
    }
    try:
        check_signature(SECRET, "POST", "https://www.example.com/" + dice.text(), headers, body, NOON)
    except Unauthenticated:
        pass
    else:
        raise AssertionError("a signature was guessed")
    try:
        notices = orjson.loads(body)
        if isinstance(notices, list):
            _sent_on(tracking_events(notices))
    except (orjson.JSONDecodeError, BadRequest, Unprocessable):
        return


@target("opportunities", b"opportunity_id,account_id,stage,at\n1,acme,won,2026-01-01\n", weight=50)
def opportunities(data: bytes) -> None:
    from gateway.intake.opportunities import read_table
    from servicekit.errors import BadRequest, PayloadTooLarge

    body = data
    if data[:1] == b"\x01":
        dice = Dice(data[1:])
        names = ("opportunity_id", "account_id", "stage", "at", "opened_at", "closed_at", "user_id", "amount")
        lines = [",".join([*names[:3], *(dice.pick(names) for _ in range(dice.below(6)))])]
        while not dice.spent and len(lines) < 10:
            lines.append(
                ",".join(
                    dice.text(("won", "opened", "1", "acme", "2026-01-01")) for _ in range(1 + dice.below(9))
                )
            )
        body = "\n".join(lines).encode("utf-8", "replace")
    try:
        _sent_on([event for row in read_table(body) for event in row.events])
    except (BadRequest, PayloadTooLarge):
        return
