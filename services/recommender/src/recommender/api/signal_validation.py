"""The route that tells what events would be taken for."""

from __future__ import annotations

from flask import Blueprint, Response, request

from recommender.api.signals import received_at
from recommender.domain.events import CALLS
from recommender.service.clock import Clock
from recommender.service.signal_validation import SignalValidator
from recommender.service.signals import SignalRequest
from servicekit.errors import BadRequest
from servicekit.wire import json_response, read_object


def blueprint(validator: SignalValidator, clock: Clock) -> Blueprint:
    routes = Blueprint("signal_validation", __name__)

    @routes.post("/v1/signals:validate")
    def validate() -> Response:
        body = read_object(request.get_data(), deepest=None)
        call = request.args.get("kind") or ("batch" if "batch" in body else "")
        if not call:  # an event alone may say itself what it is
            call, body = "batch", {"batch": [body], "sentAt": body.get("sentAt")}
        if call not in CALLS | {"batch", "import"}:
            raise BadRequest("kind must be a call of the tracking API.", code="kind_unknown")
        return json_response(
            validator.validate(
                SignalRequest(
                    call=call,
                    body=body,
                    received_at=received_at(clock),
                    agent=request.headers.get("X-Buyer-Agent"),
                    opted_out=request.headers.get("Sec-GPC") == "1",
                )
            )
        )

    return routes
