"""Routes of the signal log."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from flask import Blueprint, Response, request

from recommender.domain.events import CALLS
from recommender.service.clock import Clock
from recommender.service.signals import SignalRequest, SignalService
from servicekit.errors import BadRequest
from servicekit.wire import json_response, read_object

_CALLS = CALLS | {"batch", "import"}


def blueprint(signals: SignalService, clock: Clock) -> Blueprint:
    routes = Blueprint("signals", __name__)

    @routes.post("/v1/signals")
    def record() -> Response:
        call = request.args.get("kind", "batch")
        if call not in _CALLS:
            raise BadRequest("kind must be a call of the tracking API.", code="kind_unknown")
        outcome = signals.record(
            SignalRequest(
                call=call,
                body=read_object(request.get_data(), deepest=None),  # each event is judged by itself
                received_at=received_at(clock),
                agent=request.headers.get("X-Buyer-Agent"),
                opted_out=request.headers.get("Sec-GPC") == "1",
                trusted=request.headers.get("X-Signal-Source") != "publishable",
                proven_users=_proven_users(),
            )
        )
        return json_response(
            {
                "accepted": outcome.accepted,
                "duplicates": outcome.duplicates,
                "dead_letters": outcome.dead_letters,
            }
        )

    return routes


def _proven_users() -> frozenset[str]:
    """User ids whose token the gateway has checked, as a JSON list."""
    try:
        stated = orjson.loads(request.headers.get("X-Proven-Users", "[]"))
    except orjson.JSONDecodeError as error:
        raise BadRequest("X-Proven-Users must be a JSON list.", code="header_invalid") from error
    if not isinstance(stated, list):
        raise BadRequest("X-Proven-Users must be a JSON list.", code="header_invalid")
    return frozenset(one for one in stated if isinstance(one, str))


def received_at(clock: Clock) -> datetime:
    """When the gateway received it, which is nearer to the truth than when it came here."""
    stated = request.headers.get("X-Received-At")
    if stated is None:
        return clock()
    try:
        at = datetime.fromisoformat(stated)
    except ValueError as error:
        raise BadRequest("X-Received-At must be RFC 3339.", code="header_invalid") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
