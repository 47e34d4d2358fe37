"""Tracking bodies, as far as the log takes them, and packed ones."""

from __future__ import annotations

import gzip
import io
from datetime import UTC
from functools import cache
from typing import Any

from fuzz.dice import Dice
from fuzz.registry import NOON, SECRET, dumped, target

EVENT_NAMES = (
    "type",
    "event",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "messageId",
    "timestamp",
    "sentAt",
    "originalTimestamp",
    "properties",
    "traits",
    "context",
    "asset_id",
    "url",
    "path",
    "name",
    "page",
    "consent",
    "categoryPreferences",
    "user_token",
    "userAgent",
    "batch",
    "placement",
    "channel",
    "recommendation_id",
)
EVENT_WORDS = (
    "track",
    "page",
    "screen",
    "identify",
    "group",
    "alias",
    "Asset Downloaded",
    "Pricing Viewed",
    "u-1",
    "a-1",
    "m-1",
    "guide-1",
    "2026-05-01T00:00:00Z",
    "https://www.example.com/g",
)


@cache
def _kinds() -> Any:
    from recommender.domain.signal_kinds import load_signal_kinds

    return load_signal_kinds()


@target(
    "tracking",
    b'{"type":"track","userId":"u","event":"Asset Downloaded","properties":{"asset_id":"a"}}',
    b'{"batch":[{"type":"identify","userId":"u","anonymousId":"d","traits":{"email":"e"}}],"context":{}}',
    b'{"type":"page","anonymousId":"d","context":{"user_token":"x","page":{"url":"https://e.example/a"}}}',
    weight=90,
)
def tracking(data: bytes) -> None:
    from gateway.proofs import proven_users
    from recommender.domain.events import EARLIEST, EventInvalid, Reading, read_event
    from recommender.service.signals import SignalRequest, _dead_letter, raw_events
    from recommender.store.signals import _account_traits, _all_identities
    from servicekit.errors import BadRequest
    from servicekit.wire import read_object

    dice = Dice(data[1:])
    body = data
    if data[:1] == b"\x01":
        event = dice.document(EVENT_NAMES, EVENT_WORDS)
        body = dumped({"batch": [event], "context": dice.value(EVENT_NAMES, ())} if dice.below(2) else event)
    proven = frozenset(proven_users(body, SECRET))
    try:
        document = read_object(body, deepest=None)
        call = "batch" if "batch" in document else dice.pick((None, "track", "page", "identify", "group"))
        raws = raw_events(SignalRequest("batch" if call == "batch" else "track", document, NOON, None, False))
    except BadRequest:
        return
    sent = document.get("sentAt")
    reading = Reading(
        NOON,
        _kinds(),
        sent if isinstance(sent, str) else None,
        trusted=dice.below(2) == 0,
        proven_users=proven,
    )
    events = []
    for raw in raws:
        try:
            event = read_event(raw, None if call == "batch" else call, reading)
        except EventInvalid as error:
            letter = _dead_letter(raw, call, NOON, error)
            assert "\x00" not in letter.kind
            assert len(letter.event) <= 65_536
            continue
        assert len(event.message_key) == 32
        assert event.at >= EARLIEST
        assert "\n" not in event.raw.decode()
        event.at.astimezone(UTC).isoformat()
        events.append(event)
    _all_identities(events)
    _account_traits(events)


@target(
    "gzip_body", gzip.compress(b'{"type":"track"}'), gzip.compress(b"0" * 50_000), b"\x1f\x8b\x08", weight=150
)
def gzip_body(data: bytes) -> None:
    from gateway.bodies import _inflate
    from servicekit.errors import BadRequest, PayloadTooLarge

    try:
        assert len(_inflate(io.BytesIO(data), 20_000)) <= 20_000
    except (BadRequest, PayloadTooLarge):
        return
