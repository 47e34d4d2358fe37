"""From one tracking call to what it says: who, when, what kind of signal, about which asset."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from recommender.domain.assets import url_key
from recommender.domain.signal_kinds import SignalKinds

CALLS = frozenset({"track", "page", "screen", "identify", "group", "alias"})
OUTCOMES = frozenset({"opportunity_opened", "opportunity_won", "opportunity_lost"})
MAX_EVENT_BYTES = 32 * 1024
MAX_ID_LENGTH = 200
_DOTS = frozenset({".", ".."})
# Nothing digital was tracked before; a clock that says so is wrong.
EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
# Clocks of well-kept machines differ by less; what is later than this has not happened yet.
CLOCK_TOLERANCE = timedelta(seconds=60)
# A backslash before it makes it six plain characters.
_ZERO_BYTE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class EventInvalid(Exception):
    """An event that makes no sense; it is kept as a dead letter under `code`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Event(NamedTuple):
    """One tracking call, read. `message_key` is 32 hexadecimal digits.

    `page` is the `url_key` to look an asset up by when `asset_id` is missing. A tuple: making frozen
    dataclasses of so many fields took a third of the time in which events are read. `trusted` says whether
    the ids it names are vouched for; a browser's are not, unless it brought a proof.
    """

    message_key: str
    call: str
    at: datetime
    received_at: datetime
    user_id: str | None
    anonymous_id: str | None
    kind: str
    raw: bytes
    previous_id: str | None = None
    group_id: str | None = None
    asset_id: str | None = None
    page: str | None = None
    weight: float = 1.0
    traits: Mapping[str, Any] = _NOTHING
    consent: Mapping[str, Any] | None = None
    opted_out: bool = False
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What is the same for every event of one request."""

    received_at: datetime
    kinds: SignalKinds
    sent_at: str | None = None
    agent: str | None = None
    opted_out: bool = False
    is_bot: Callable[[str], bool] = lambda _: False
    trusted: bool = True
    proven_users: frozenset[str] = frozenset()


def message_key(message_id: str) -> str:
    """128 bits, in hexadecimal, that stand for a message id of any length."""
    return hashlib.blake2b(message_id.encode(), digest_size=16).hexdigest()


def read_event(raw: object, call: str | None, reading: Reading) -> Event:
    """Read one call of the tracking API (`call` comes from the path, None inside a batch)."""
    if not isinstance(raw, dict):
        raise EventInvalid("not_an_object", "An event must be a JSON object.")
    if not reading.trusted:
        raw = _without_token(raw)
    try:
        text = orjson.dumps(raw)
    except TypeError as error:
        raise EventInvalid("nested_too_deeply", "This event is nested too deeply to be stored.") from error
    if len(text) > MAX_EVENT_BYTES:
        raise EventInvalid("event_too_large", "An event may be 32 KB at most.")
    if rb"\u0000" in text and _ZERO_BYTE.search(text):
        raise EventInvalid("nul_character", "The NUL character cannot be stored.")
    name = call or raw.get("type")
    if not isinstance(name, str) or name not in CALLS:
        raise EventInvalid("type_unknown", "`type` must be track, page, screen, identify, group or alias.")
    context = _mapping(raw, "context")
    user_id, anonymous_id = _id(raw, "userId"), _id(raw, "anonymousId")
    if user_id is None and anonymous_id is None:
        raise EventInvalid("no_identity", "An event needs a userId or an anonymousId.")
    trusted = reading.trusted or (user_id is not None and user_id in reading.proven_users)
    if not trusted and anonymous_id is None:
        raise EventInvalid(
            "user_unproven", "From a browser, a userId needs an anonymousId beside it, or a user_token."
        )
    kind, asset_id, page = _subject(name, raw, _mapping(raw, "properties"), context, reading.kinds)
    agent = (context.get("userAgent") if context else None) or reading.agent
    # In the order of the fields: by name they take twice the time, a tenth of all that reading takes.
    return Event(
        _message_key(raw, text, reading.received_at),
        name,
        _time(raw, reading),
        reading.received_at,
        user_id,
        anonymous_id,
        kind,
        text,
        _id(raw, "previousId"),
        _id(raw, "groupId") or (_id(context, "groupId") if context else None),
        asset_id,
        page,
        0.0 if isinstance(agent, str) and reading.is_bot(agent) else 1.0,
        _mapping(raw, "traits") or (_mapping(context, "traits") if context else _NOTHING),
        (_mapping(_mapping(context, "consent"), "categoryPreferences") or None) if context else None,
        reading.opted_out,
        trusted,
    )


def _without_token(raw: dict[str, Any]) -> dict[str, Any]:
    """A proof of who somebody is opens their recommendations: it is not kept."""
    context = raw.get("context")
    if not isinstance(context, dict) or "user_token" not in context:
        return raw
    return {**raw, "context": {name: value for name, value in context.items() if name != "user_token"}}


def _mapping(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else _NOTHING


def _id(parent: Mapping[str, Any], name: str) -> str | None:
    value = parent.get(name)
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= MAX_ID_LENGTH and value.isprintable() and value not in _DOTS:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise EventInvalid("id_invalid", f"`{name}` must be text of 1 to {MAX_ID_LENGTH} characters.")
    text = str(value)
    # What could not stand in a path could be stored and never be read or erased again.
    if len(text) > MAX_ID_LENGTH or not text.isprintable() or text in _DOTS:
        raise EventInvalid("id_invalid", f"`{name}` must be 1 to {MAX_ID_LENGTH} printable characters.")
    return text


def _message_key(raw: Mapping[str, Any], text: bytes, received_at: datetime) -> str:
    message_id = raw.get("messageId")
    if isinstance(message_id, str) and message_id:
        return message_key(message_id)
    if "timestamp" in raw or "originalTimestamp" in raw:
        # Without an id the content stands for it, so that a retry of a dated event is still recognised.
        return message_key(orjson.dumps({k: v for k, v in raw.items() if k != "sentAt"}).decode())
    return message_key(f"{received_at.isoformat()}{text.decode()}")


def _subject(
    call: str,
    raw: Mapping[str, Any],
    properties: Mapping[str, Any],
    context: Mapping[str, Any],
    kinds: SignalKinds,
) -> tuple[str, str | None, str | None]:
    """→ (kind, asset id, page key)."""
    if call in {"identify", "group", "alias"}:
        return call, None, None
    asset_id = properties.get("asset_id")
    if asset_id is not None:
        asset_id = str(asset_id) if isinstance(asset_id, str | int) else None
        if asset_id is None or not 0 < len(asset_id) <= MAX_ID_LENGTH:
            raise EventInvalid(
                "asset_id_invalid", "`properties.asset_id` must be text of 1 to 200 characters."
            )
    url = properties.get("url") or _mapping(context, "page").get("url")
    page = url_key(url) if isinstance(url, str) and url else None
    if call == "track":
        event = raw.get("event")
        if not isinstance(event, str) or not event.strip():
            raise EventInvalid("event_missing", "A track call needs an `event` name.")
        return kinds.kind_of_event(event), asset_id, page
    path = properties.get("path")
    if not isinstance(path, str):
        path = _path(url) if isinstance(url, str) else str(raw.get("name") or "")
    return kinds.kind_of_page(path), asset_id, page


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _time(raw: Mapping[str, Any], reading: Reading) -> datetime:
    """When it happened by our clock: receivedAt − (sentAt − originalTimestamp), never in the future."""
    stated = raw.get("originalTimestamp") or raw.get("timestamp")
    if stated is None:
        return reading.received_at
    at = _parse(stated)
    sent = raw.get("sentAt") or reading.sent_at
    if sent is not None:
        try:
            at = reading.received_at - (_parse(sent) - at)
        except OverflowError as error:
            raise EventInvalid("timestamp_invalid", "The clock of this event is out of range.") from error
    if at < EARLIEST:
        raise EventInvalid("timestamp_invalid", "This event is dated before 1995; the clock must be wrong.")
    return min(at, reading.received_at) if at > reading.received_at + CLOCK_TOLERANCE else at


def _parse(value: object) -> datetime:
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Epoch seconds, or milliseconds as JavaScript gives them.
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise EventInvalid(
            "timestamp_invalid", "A time must be RFC 3339, such as 2026-01-31T12:00:00Z."
        ) from error
    raise EventInvalid("timestamp_invalid", "A time must be RFC 3339, such as 2026-01-31T12:00:00Z.")
