"""For integrators: what an event would be taken for, without storing it."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, request

from contract.signals import SignalValidation, TrackingEvent
from gateway import bodies, relay
from gateway.access import Caller
from gateway.parts import Parts
from gateway.routing import Content, Keyed, Parameter, Route

_CALLS = ("track", "page", "screen", "identify", "group", "alias", "batch", "import")
_EXAMPLE = """-H 'Content-Type: application/json' \\
  -d '{"type": "track", "userId": "u-1", "event": "Asset Downloaded", "properties": {"asset_id": "paper"}}'"""


class SignalValidationViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def validate(self, _: Caller) -> Response:
        headers = {
            "Content-Type": "application/json",
            "X-Received-At": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "X-Signal-Source": "secret",
        }
        if (privacy := request.headers.get("Sec-GPC")) is not None:
            headers["Sec-GPC"] = privacy[:5]
        return relay.answer(
            self._parts.recommender.call(
                "validate_signals",
                "POST",
                relay.with_query("/v1/signals:validate"),
                body=bodies.read_tracking_body(),
                headers=headers,
                timeout_seconds=self._parts.settings.read_timeout_seconds,
            )
        )


def routes(parts: Parts) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            path="/v1/signals:validate",
            name="validate_signals",
            summary="What an event would be taken for",
            tag="Signals",
            access=Keyed("signals"),
            view=SignalValidationViews(parts).validate,
            description="For whoever integrates: type, asset, account, identity, weight and time as the log "
            "would read them, or why the event would be a dead letter. Nothing is stored.",
            parameters=(
                Parameter(
                    "kind",
                    "The call whose path the event would be sent to; without it the event's own `type`.",
                    {"type": "string", "enum": list(_CALLS)},
                ),
            ),
            takes=(Content(model=TrackingEvent),),
            gives={200: (Content(model=SignalValidation),)},
            errors=(400, 413, 415, 503),
            example=_EXAMPLE,
        ),
    )
