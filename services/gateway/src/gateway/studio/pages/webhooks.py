"""Webhooks: what was delivered, what waits or failed and why, and a second try."""

from __future__ import annotations

from typing import get_args

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from contract.webhooks import DeliveryState
from gateway.studio.desk import Desk, go
from gateway.studio.roles import Role, needs
from gateway.studio.webhook_book import WebhookBook
from servicekit.whole_numbers import natural

_STATES = get_args(DeliveryState)


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("webhooks", __name__)
    book = WebhookBook(desk.parts)

    @pages.get("/webhooks")
    @needs(Role.OPERATOR)
    def page() -> str:
        asked = {name: request.args.get(name, "")[:200] for name in ("endpoint_id", "state", "page_token")}
        if asked["state"] not in _STATES:
            asked["state"] = ""
        if natural(asked["page_token"]) is None:
            asked["page_token"] = ""
        return render_template(
            "webhooks.html",
            endpoints=book.endpoints(), found=book.deliveries(**asked), states=_STATES, asked=asked,
        )  # fmt: skip

    @pages.post("/webhooks/send-again")
    @needs(Role.OPERATOR)
    def send_again() -> Response:
        delivery_id = request.form.get("id", "")
        book.send_again(delivery_id)
        desk.note("webhook.sent_again", ("delivery", delivery_id), f"Sent delivery {delivery_id} again")
        return go("webhooks.page", f"Delivery {delivery_id} is sent again within a few seconds.")

    @pages.post("/webhooks/take-up")
    @needs(Role.OPERATOR)
    def take_up() -> Response:
        endpoint_id = request.form.get("id", "")
        book.take_up(endpoint_id)
        desk.note("webhook.taken_up", ("webhook", endpoint_id), f"Took the webhook “{endpoint_id}” up again")
        return go("webhooks.page", f"“{endpoint_id}” is told again; what waited is on its way.")

    @pages.post("/webhooks/test")
    @needs(Role.OPERATOR)
    def test() -> Response:
        endpoint_id = request.form.get("id", "")
        book.test(endpoint_id)
        desk.note("webhook.tested", ("webhook", endpoint_id), f"Sent a test to the webhook “{endpoint_id}”")
        return go("webhooks.page", f"A test is on its way to “{endpoint_id}”.", endpoint_id=endpoint_id)

    return pages
