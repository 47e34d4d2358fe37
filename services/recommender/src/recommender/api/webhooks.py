"""Routes of webhooks: endpoints, a test, and what became of each delivery."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, request

from contract.webhooks import WebhookEndpointInput
from recommender.api.requests import checked_id, text_parameter, whole_number
from recommender.service.webhooks import WebhookService
from recommender.store.webhooks import DeliveryRow
from servicekit.errors import BadRequest, FieldProblem, Unprocessable
from servicekit.whole_numbers import natural
from servicekit.wire import json_response, parse, read_object

_STATES = ("pending", "delivered", "failed")


def blueprint(webhooks: WebhookService) -> Blueprint:
    routes = Blueprint("webhooks", __name__)

    @routes.get("/v1/webhooks/endpoints")
    def many() -> Response:
        return json_response({"endpoints": [one.model_dump() for one in webhooks.all()]})

    @routes.put("/v1/webhooks/endpoints/<id:endpoint_id>")
    def put(endpoint_id: str) -> Response:
        given = parse(WebhookEndpointInput, read_object(request.get_data()))
        endpoint, created = webhooks.put(checked_id(endpoint_id), given)
        return json_response(endpoint.model_dump(), 201 if created else 200)

    @routes.get("/v1/webhooks/endpoints/<id:endpoint_id>")
    def get(endpoint_id: str) -> Response:
        return json_response(webhooks.get(checked_id(endpoint_id)).model_dump())

    @routes.delete("/v1/webhooks/endpoints/<id:endpoint_id>")
    def delete(endpoint_id: str) -> Response:
        webhooks.delete(checked_id(endpoint_id))
        return Response(status=204)

    @routes.post("/v1/webhooks/endpoints/<id:endpoint_id>:test")
    def test(endpoint_id: str) -> Response:
        return json_response({"event_id": webhooks.test(checked_id(endpoint_id))})

    @routes.get("/v1/webhooks/deliveries")
    def deliveries() -> Response:
        limit = whole_number(request, "page_size", 50, 1, 500)
        state = text_parameter(request, "state")
        if state is not None and state not in _STATES:
            detail = "state is pending, delivered or failed."
            field = FieldProblem("/state", "unknown", detail)
            raise Unprocessable(detail, code="fields_invalid", fields=[field])
        rows = webhooks.deliveries(
            endpoint_id=text_parameter(request, "endpoint_id"),
            state=state,
            before=_page(request.args.get("page_token")),
            limit=limit,
        )
        last = str(rows[-1].delivery_id) if len(rows) == limit else None
        return json_response({"deliveries": [_shown(row) for row in rows], "next_page_token": last})

    @routes.post("/v1/webhooks/deliveries/<int:delivery_id>:retry")
    def retry(delivery_id: int) -> Response:
        webhooks.retry(delivery_id)
        return Response(status=204)

    return routes


def _shown(row: DeliveryRow) -> dict[str, object]:
    shown = {"id": row.delivery_id, **asdict(row)}
    del shown["delivery_id"]
    if row.state != "pending":
        shown["next_attempt_at"] = None
    return shown


def _page(token: str | None) -> int | None:
    if not token:
        return None
    page = natural(token)
    if page is None:
        raise BadRequest("page_token must be the next_page_token of an answer.", code="page_token_invalid")
    return page
