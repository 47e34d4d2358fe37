"""HubSpot's webhooks: who signed them, and what they say about contacts, companies and deals.

A contact becomes the buyer `hubspot-contact-<id>`, a company the account `hubspot-company-<id>`, and a deal
the buyer `hubspot-deal-<id>` of its account. Where the firm keeps Foreword's ids in HubSpot, two properties
join the two worlds: a contact's `foreword_user_id` and a deal's or contact's `foreword_account_id`. Where the
firm's user ids are e-mail addresses, or hashes of them, a contact's `email` joins them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import unquote

from servicekit.errors import Unauthenticated
from servicekit.wire import require_shallow

# HubSpot's own words: a request older than this is to be refused.
CLOCK_WINDOW = timedelta(minutes=5)
USER_PROPERTY = "foreword_user_id"
ACCOUNT_PROPERTY = "foreword_account_id"
EmailIds = Literal["off", "plain", "sha256"]
_JOINED = {"DEAL_TO_COMPANY": "deal", "CONTACT_TO_COMPANY": "contact"}
_STAGES = {"closedwon": "Opportunity Won", "closedlost": "Opportunity Lost"}


def check_signature(
    secret: bytes, method: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    """Version 3 where the request has it (HMAC, with a time), else version 1. Raises `Unauthenticated`.

    `headers` has lower-case names; `url` is the address as HubSpot called it, query and all.
    """
    given = headers.get("x-hubspot-signature-v3")
    if given is not None:
        _check_clock(headers.get("x-hubspot-request-timestamp", ""), now)
        stamp = headers["x-hubspot-request-timestamp"]
        source = method.encode() + unquote(url).encode() + body + stamp.encode()
        expected = base64.b64encode(hmac.new(secret, source, hashlib.sha256).digest())
    elif headers.get("x-hubspot-signature-version", "v1") == "v1" and "x-hubspot-signature" in headers:
        given = headers["x-hubspot-signature"].lower()
        expected = hashlib.sha256(secret + body).hexdigest().encode()
    else:
        raise Unauthenticated("HubSpot's signature is missing.", code="signature_missing")
    if not hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass")):
        raise Unauthenticated("The signature is not HubSpot's.", code="signature_invalid")


def _check_clock(stamp: str, now: datetime) -> None:
    try:
        at = datetime.fromtimestamp(int(stamp) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Unauthenticated("The signature's time cannot be read.", code="signature_invalid") from error
    if abs(now - at) > CLOCK_WINDOW:
        raise Unauthenticated("The signature is older than five minutes.", code="signature_expired")


def tracking_events(notices: Sequence[Any], email_ids: EmailIds = "off") -> list[dict[str, Any]]:
    """What the notices say; those that say nothing about a buyer are left out.

    `email_ids` says what the firm's user ids are: e-mail addresses in lower case, the SHA-256 of those in
    hexadecimal, or neither.
    """
    require_shallow(notices)
    found = []
    for notice in notices:
        if not isinstance(notice, dict) or not isinstance(kind := notice.get("subscriptionType"), str):
            continue
        subject, _, change = kind.partition(".")
        make = _MAKERS.get((subject, change))
        event = _joined_by_email(notice, kind, email_ids)
        if event is None and make is not None:
            event = make(notice)
        if event is not None:
            found.append({**event, **_stamp(notice)})
    return found


def _joined_by_email(notice: Mapping[str, Any], kind: str, email_ids: EmailIds) -> dict[str, Any] | None:
    """The contact is the buyer of this address; the address itself goes no further where ids are hashes."""
    address = notice.get("propertyValue")
    named = kind == "contact.propertyChange" and notice.get("propertyName") == "email"
    if email_ids == "off" or not named or not isinstance(address, str) or "@" not in address:
        return None
    user_id = address.strip().lower()
    if email_ids == "sha256":
        user_id = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return {"type": "alias", "previousId": _id(notice, "contact"), "userId": user_id}


def _stamp(notice: Mapping[str, Any]) -> dict[str, Any]:
    """HubSpot repeats a notice until it is taken; its own numbers make it the same message."""
    numbers = [
        notice.get(name)
        for name in ("portalId", "subscriptionType", "objectId", "eventId", "occurredAt", "propertyName")
    ]
    digest = hashlib.sha256(repr(numbers).encode()).hexdigest()[:40]
    at = notice.get("occurredAt")
    stamp: dict[str, Any] = {"messageId": f"hubspot-{digest}"}
    return {**stamp, "timestamp": at} if isinstance(at, int) else stamp


def _id(notice: Mapping[str, Any], kind: str, name: str = "objectId") -> str:
    return f"hubspot-{kind}-{notice.get(name)}"


def _contact(notice: Mapping[str, Any]) -> dict[str, Any]:
    name, value = notice.get("propertyName"), notice.get("propertyValue")
    contact = _id(notice, "contact")
    if name == USER_PROPERTY and value:
        return {"type": "alias", "previousId": contact, "userId": str(value)}
    if name == ACCOUNT_PROPERTY and value:
        return {"type": "group", "userId": contact, "groupId": str(value)}
    traits = {str(name): value} if name else {}
    return {"type": "identify", "userId": contact, "traits": traits}


def _company(notice: Mapping[str, Any]) -> dict[str, Any]:
    company = _id(notice, "company")
    traits = {str(notice["propertyName"]): notice.get("propertyValue")} if notice.get("propertyName") else {}
    return {"type": "group", "userId": f"{company}-record", "groupId": company, "traits": traits}


def _deal_opened(notice: Mapping[str, Any]) -> dict[str, Any]:
    return _deal(notice, "Opportunity Opened")


def _deal_changed(notice: Mapping[str, Any]) -> dict[str, Any] | None:
    name, value = notice.get("propertyName"), notice.get("propertyValue")
    if name == ACCOUNT_PROPERTY and value:
        return {"type": "group", "userId": _id(notice, "deal"), "groupId": str(value)}
    outcome = _STAGES.get(str(value).lower()) if name == "dealstage" else None
    return None if outcome is None else _deal(notice, outcome)


def _deal(notice: Mapping[str, Any], event: str) -> dict[str, Any]:
    properties = {"opportunity_id": str(notice.get("objectId")), "source": "hubspot"}
    return {"type": "track", "userId": _id(notice, "deal"), "event": event, "properties": properties}


def _associated(notice: Mapping[str, Any]) -> dict[str, Any] | None:
    """A deal or a contact now belongs to a company."""
    if notice.get("associationRemoved"):
        return None
    kind = _JOINED.get(str(notice.get("associationType")))
    if kind is None:
        return None
    company = _id(notice, "company", "toObjectId")
    return {"type": "group", "userId": _id(notice, kind, "fromObjectId"), "groupId": company}


_MAKERS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
    ("contact", "creation"): _contact,
    ("contact", "propertyChange"): _contact,
    ("contact", "associationChange"): _associated,
    ("company", "creation"): _company,
    ("company", "propertyChange"): _company,
    ("deal", "creation"): _deal_opened,
    ("deal", "propertyChange"): _deal_changed,
    ("deal", "associationChange"): _associated,
}
