"""Routes of email: what a slot shows, and what a link of an old mail leads to now."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.email import EmailRecipients, EmailSlotRequest
from recommender.api.requests import checked_id
from recommender.domain.identities import Identity
from recommender.service.email_slots import EmailSlotService
from servicekit.wire import json_response, parse, read_object


def blueprint(slots: EmailSlotService) -> Blueprint:
    routes = Blueprint("email", __name__)

    @routes.post("/v1/email/slots")
    def slot() -> Response:
        asked = parse(EmailSlotRequest, read_object(request.get_data()))
        return json_response(slots.answer(asked).model_dump(mode="python"))

    @routes.post("/v1/email/accounts")
    def accounts() -> Response:
        """Internal: the gateway asks it for the recipients of one block of a batch."""
        asked = parse(EmailRecipients, read_object(request.get_data()))
        found = slots.accounts([Identity(one.kind, one.id) for one in asked.recipients])
        return json_response({"accounts": found})

    @routes.get("/v1/replacements/<id:asset_id>")
    def replacement(asset_id: str) -> Response:
        return json_response(slots.replacement(checked_id(asset_id)).model_dump())

    return routes
