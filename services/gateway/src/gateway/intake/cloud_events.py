"""CloudEvents 1.0 over HTTP, in any of its three modes, as tracking events.

`data` that is a tracking event itself is taken as it is. Of any other event the `type` is the event's name,
unless `data` has an `event`; who did it stands in the extension attributes `userid`, `anonymousid` and
`accountid`, or under the tracking API's names in `data`. The `subject` is the asset, unless `data` names one.
Source and id together make the message id, since that is what CloudEvents calls the same event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.exceptions import CloudEventValidationError

from servicekit.errors import BadRequest
from servicekit.wire import require_shallow

BATCH_TYPE = "application/cloudevents-batch+json"
STRUCTURED_TYPE = "application/cloudevents+json"
_CALLS = ("track", "page", "screen", "identify", "group", "alias")
_IDENTITY = (("userid", "userId"), ("anonymousid", "anonymousId"), ("accountid", "groupId"))
_MOST_EVENTS = 10_000
_UNREADABLE = (CloudEventValidationError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def tracking_events(headers: Mapping[str, str], body: bytes) -> list[dict[str, Any]]:
    """The events of one request, in whichever mode its content type names. Raises `BadRequest`."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == BATCH_TYPE:
        return [_tracking_event(_read({"content-type": STRUCTURED_TYPE}, one)) for one in _members(body)]
    return [_tracking_event(_read(headers, body))]


def _members(body: bytes) -> list[bytes]:
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The batch is not JSON.", code="json_malformed") from error
    if not isinstance(members, list):
        raise BadRequest("A batch of CloudEvents is a JSON array.", code="cloudevent_invalid")
    if len(members) > _MOST_EVENTS:
        raise BadRequest(f"Send at most {_MOST_EVENTS:,} events at once.", code="too_many_events")
    require_shallow(members)
    return [orjson.dumps(member) for member in members]


def _read(headers: Mapping[str, str], body: bytes) -> BaseCloudEvent:
    try:
        event = from_http_event(HTTPMessage(dict(headers), body))
    except _UNREADABLE as error:
        raise BadRequest("This is not a CloudEvent of version 1.0.", code="cloudevent_invalid") from error
    if event.get_specversion() != "1.0":
        raise BadRequest("This is not a CloudEvent of version 1.0.", code="cloudevent_invalid")
    return event


def _tracking_event(event: BaseCloudEvent) -> dict[str, Any]:
    data = _data(event)
    if data.get("type") in _CALLS and ("userId" in data or "anonymousId" in data):
        made = dict(data)
    else:
        names = {"userId", "anonymousId", "groupId", "context", "event"}
        properties = {name: value for name, value in data.items() if name not in names}
        subject = event.get_subject()
        if subject and not {"asset_id", "url"} & properties.keys():
            properties["url" if subject.startswith(("http://", "https://")) else "asset_id"] = subject
        made = {name: data[name] for name in names if name in data}
        made = {"event": event.get_type(), **made, "type": "track", "properties": properties}
    for attribute, name in _IDENTITY:
        value = event.get_extension(attribute)
        if value not in (None, "") and name not in made:
            made[name] = str(value)
    made.setdefault("messageId", f"{event.get_source()}#{event.get_id()}")
    at = event.get_time()
    if at is not None:
        made.setdefault("timestamp", at.isoformat())
    return made


def _data(event: BaseCloudEvent) -> Mapping[str, Any]:
    data = event.get_data()
    if isinstance(data, bytes | str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            return {}
    require_shallow(data)
    return data if isinstance(data, dict) else {}
