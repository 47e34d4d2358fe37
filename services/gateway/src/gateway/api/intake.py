"""Signals from CRM and other systems: CloudEvents, HubSpot's webhooks, and a table of opportunities."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, request

from contract.signals import IntakeOutcome, OpportunityOutcome
from gateway import bodies, relay
from gateway.access import Caller
from gateway.intake import cloud_events, hubspot, opportunities
from gateway.parts import Parts
from gateway.routing import Content, Keyed, Open, Parameter, Route
from gateway.signal_relay import TrackedSignal
from servicekit.errors import BadRequest, NotFound
from servicekit.wire import dumps, json_response

_MAX_BYTES = 4 * 1024 * 1024
_MOST_NOTICES = 1_000
_TAKEN = {200: (Content(model=IntakeOutcome),)}


class IntakeViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def cloud_events(self, _: Caller) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._take(cloud_events.tracking_events(headers, bodies.read_inflated(_MAX_BYTES)))

    def hubspot(self) -> Response:
        secret = self._parts.settings.hubspot_client_secret
        if secret is None:
            raise NotFound("HubSpot is not connected.", code="hubspot_not_connected")
        body = bodies.read_inflated(_MAX_BYTES)
        hubspot.check_signature(
            secret.get_secret_value().encode(),
            request.method,
            self._called_address(),
            {name.lower(): value for name, value in request.headers.items()},
            body,
            datetime.now(UTC),
        )
        try:
            notices = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequest("The body is not JSON.", code="json_malformed") from error
        if not isinstance(notices, list) or len(notices) > _MOST_NOTICES:
            raise BadRequest("HubSpot sends a list of notices.", code="notices_malformed")
        return self._take(hubspot.tracking_events(notices, self._parts.settings.hubspot_email_ids))

    def opportunities(self, _: Caller) -> Response:
        rows = opportunities.read_table(bodies.read_inflated(_MAX_BYTES))
        problems = [{"line": row.line, "detail": row.problem} for row in rows if row.problem is not None]
        events = [event for row in rows for event in row.events]
        taken = self._take(events)
        if taken.status_code != 200:
            return taken
        outcome = orjson.loads(taken.get_data())
        return json_response({**outcome, "rows": len(rows), "problems": problems[:100]})

    def _called_address(self) -> str:
        """As the other side called it; what stands before the gateway may have changed scheme and host."""
        base = (self._parts.settings.public_url or request.host_url).rstrip("/")
        return base + request.full_path.removesuffix("?")

    def _take(self, events: Sequence[dict[str, Any]]) -> Response:
        """Stored when this answers, like everything of the tracking API."""
        if not events:
            return json_response({"accepted": 0, "duplicates": 0, "dead_letters": 0})
        signal = TrackedSignal(
            kind="batch", body=_batch(events), received_at=datetime.now(UTC), source="secret"
        )
        answer = self._parts.signals.send(signal, timeout_seconds=self._parts.settings.signal_timeout_seconds)
        return relay.answer(answer)


def _batch(events: Sequence[dict[str, Any]]) -> bytes:
    return dumps({"batch": events})


def routes(parts: Parts) -> tuple[Route, ...]:
    views = IntakeViews(parts)
    # fmt: off
    return (
        Route(
            "POST", "/v1/cloudevents", "cloudevents", "Take CloudEvents 1.0 in", "Signals", Keyed("signals"),
            views.cloud_events,
            description="Binary, structured or batched. `data` may be a tracking event; else the `type` is "
            "the event's name, `userid`, `anonymousid` and `accountid` say who, and `subject` is the asset.",
            takes=(
                Content(cloud_events.STRUCTURED_TYPE, schema={"type": "object"}),
                Content(cloud_events.BATCH_TYPE, schema={"type": "array", "items": {"type": "object"}}),
                Content(schema={"type": "object"}),
            ),
            gives=_TAKEN, errors=(400, 413, 415, 503),
        ),
        Route(
            "POST", "/v1/hubspot", "hubspot", "Take HubSpot's webhooks in", "Signals",
            Open("HubSpot holds no key of ours: it signs each request with its app's secret"), views.hubspot,
            description="Contacts, companies and deals as signals; signature version 3 or 1.",
            parameters=(
                Parameter("X-HubSpot-Signature-v3", "HMAC-SHA256, with a time.", place="header"),
                Parameter("X-HubSpot-Request-Timestamp", "In milliseconds.", place="header"),
                Parameter("X-HubSpot-Signature", "The older signature, of the body alone.", place="header"),
            ),
            takes=(Content(schema={"type": "array", "items": {"type": "object"}}),),
            gives=_TAKEN, errors=(400, 401, 404, 413, 415, 503),
        ),
        Route(
            "POST", "/v1/opportunities:import", "import_opportunities", "Take a CSV of opportunities in",
            "Signals", Keyed("signals"), views.opportunities,
            description="Columns `opportunity_id`, `account_id`, `stage` (opened, won, lost) and optionally "
            "`at`, `opened_at`, `closed_at`, `user_id`, `amount`. At most 4 MB and 10,000 rows; sent again "
            "it doubles nothing.",
            takes=(Content("text/csv", schema={"type": "string"}),),
            gives={200: (Content(model=OpportunityOutcome),)}, errors=(400, 413, 415, 503),
            example="-H 'Content-Type: text/csv' --data-binary @opportunities.csv",
        ),
    )
    # fmt: on
