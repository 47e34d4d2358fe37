"""Signals: the Segment tracking paths, long and short, and the settings its browser library asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from flask import Response, request

from contract.signals import MAX_BATCH_BYTES, MAX_EVENT_BYTES, TrackingBatch, TrackingEvent, TrackingSuccess
from gateway import bodies, relay
from gateway.access import Caller
from gateway.parts import Parts
from gateway.proofs import proven_users
from gateway.routing import Content, Keyed, Open, Parameter, Route, View
from gateway.settings import GatewaySettings
from gateway.signal_relay import TrackedSignal
from servicekit.errors import BadRequest, NotFound
from servicekit.wire import json_response

_SUCCESS = b'{"success": true}'
_ACCESS = Keyed("signals", publishable=True, key_in_body=True)
_STORED = {200: (Content(model=TrackingSuccess),)}
_PATHS = {
    "track": ("track", "t"),
    "page": ("page", "p"),
    "screen": ("screen", "s"),
    "identify": ("identify", "i"),
    "group": ("group", "g"),
    "alias": ("alias", "a"),
    "batch": ("batch", "b"),
    "import": ("import",),
}
_SUMMARIES = {
    "track": "Record what a buyer did",
    "page": "Record a page view",
    "screen": "Record a screen view",
    "identify": "Say who a buyer is",
    "group": "Say which account a buyer belongs to",
    "alias": "Join two ids of one buyer",
    "batch": "Record many signals at once",
    "import": "Record signals of the past",
}
_EXAMPLES = {
    "track": '{"userId": "u-1", "event": "Asset Downloaded", "properties": {"asset_id": "whitepaper-7"}}',
    "page": '{"anonymousId": "a-1", "properties": {"url": "https://www.example.com/pricing"}}',
    "screen": '{"anonymousId": "a-1", "name": "Pricing"}',
    "identify": '{"userId": "u-1", "anonymousId": "a-1", "traits": {"title": "Head of Operations"}}',
    "group": '{"userId": "u-1", "groupId": "acme.example", "traits": {"industry": "logistics"}}',
    "alias": '{"userId": "u-1", "previousId": "a-1"}',
    "batch": '{"batch": [{"type": "track", "userId": "u-1", "event": "Pricing Viewed"}]}',
    "import": '{"batch": [{"type": "track", "userId": "u-1", "event": "Webinar Attended", '
    '"timestamp": "2026-01-15T10:00:00Z"}]}',
}


class SignalViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def record(self, caller: Caller, *, kind: str) -> Response:
        many = kind in ("batch", "import")
        body = bodies.read_tracking_body()
        if not body.strip():
            raise BadRequest("The body is empty; send a JSON object.", code="body_empty")
        if not many and len(body) > MAX_EVENT_BYTES:
            self._parts.metrics.signals.labels(kind, "refused").inc()
            raise bodies.too_large(MAX_EVENT_BYTES)
        signal = TrackedSignal(
            kind=kind,
            body=body,
            received_at=datetime.now(UTC),
            source="publishable" if caller.is_publishable else "secret",
            # A browser sends its own key itself; behind a secret key stands a server, whose HTTP library
            # must not pass for a crawler. What the buyer used then stands in the event's context.
            agent=request.headers.get("User-Agent", "") if caller.is_publishable else "",
            privacy_control=request.headers.get("Sec-GPC"),
            proven_users=proven_users(body, self._parts.keys.project_secret) if caller.is_publishable else (),
        )
        answer = self._parts.signals.send(signal, timeout_seconds=self._parts.settings.signal_timeout_seconds)
        return json_response(_SUCCESS) if answer.status == 200 else relay.answer(answer)

    def library_metrics(self) -> Response:
        """The browser library's figures about itself: read within the limit and thrown away."""
        bodies.read_tracking_body()
        return json_response(_SUCCESS)

    def library_settings(self, key: str) -> Response:
        found = self._parts.keys.find(key)
        if found is None or found.revoked_at is not None:
            raise NotFound("There is no project with this key.")
        document = {
            "integrations": {"Segment.io": {"apiKey": key, **_tracking_address(self._parts.settings)}},
            "plan": {"track": {"__default": {"enabled": True}}},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }
        return json_response(document, headers={"Cache-Control": "public, max-age=300"})


def _tracking_address(settings: GatewaySettings) -> dict[str, str]:
    """Where the library shall send: here. It takes https unless told otherwise."""
    base = urlsplit(settings.public_url or request.host_url)
    address = {"apiHost": base.netloc + base.path.rstrip("/") + "/v1"}
    # An encrypted page cannot call plain addresses, whatever a proxy in between made of this request.
    encrypted = (
        base.scheme == "https"
        or request.headers.get("X-Forwarded-Proto", "").lower().startswith("https")
        or request.headers.get("Origin", "").lower().startswith("https:")
    )
    return address if encrypted else {**address, "protocol": "http"}


def routes(parts: Parts) -> tuple[Route, ...]:
    views = SignalViews(parts)
    # fmt: off
    tracking = tuple(
        _tracking_route(path, kind, partial(views.record, kind=kind))
        for kind, paths in _PATHS.items()
        for path in paths
    )
    return (
        *tracking,
        Route(
            "POST", "/v1/m", "signals_m", "The browser library's own figures", "Signals",
            Open("the library sends them without a key, and nothing is kept"), views.library_metrics,
            takes=(Content(schema={"type": "object"}),), gives=_STORED, errors=(413, 415), cross_origin=True,
        ),
        Route(
            "GET", "/v1/projects/<key>/settings", "library_settings", "Settings for the browser library",
            "Signals", Open("the key stands in the path, and the settings hold nothing secret"),
            views.library_settings, gives={200: (Content(schema={"type": "object"}),)}, errors=(404, 503),
            cross_origin=True,
        ),
    )
    # fmt: on


def _tracking_route(path: str, kind: str, view: View) -> Route:
    many = kind in ("batch", "import")
    limit = f"{MAX_BATCH_BYTES // 1024**2} MB" if many else f"{MAX_EVENT_BYTES // 1024} KB"
    return Route(
        method="POST",
        path=f"/v1/{path}",
        name=f"signals_{path}",
        summary=_SUMMARIES[kind] if path == kind else f"Short path of /v1/{kind}",
        tag="Signals",
        access=_ACCESS,
        view=view,
        description=f"As Segment's clients send it, at most {limit}; JSON whatever the content type says, "
        "plain or gzip. The answer comes when it is stored for good.",
        parameters=(Parameter("writeKey", "The key, for clients that cannot set a header."),),
        takes=(Content(model=TrackingBatch if many else TrackingEvent),),
        gives=_STORED,
        errors=(400, 413, 415, 503),
        example=f"-H 'Content-Type: application/json' \\\n  -d '{_EXAMPLES[kind]}'",
        cross_origin=True,
    )
