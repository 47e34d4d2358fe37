"""Webhooks out: where a firm wants to be told, and what became of each delivery."""

from __future__ import annotations

from flask import Response, request

from contract.webhooks import (
    DeliveryState,
    WebhookDeliveries,
    WebhookEndpoint,
    WebhookEndpointInput,
    WebhookEndpoints,
    WebhookTest,
)
from gateway import relay
from gateway.access import Caller
from gateway.api.ids import checked
from gateway.parts import Parts
from gateway.routing import TEXT, Content, Keyed, Parameter, Route, one_of
from gateway.upstream import segment

_ADMIN = Keyed("admin")
_ENDPOINTS = "/v1/webhooks/endpoints"
_ONE = "/v1/webhooks/endpoints/<any_id:endpoint_id>"
_DELIVERIES = "/v1/webhooks/deliveries"


class WebhookViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def many(self, _: Caller) -> Response:
        return self._relay(_ENDPOINTS)

    def one(self, _: Caller, endpoint_id: str) -> Response:
        return self._relay(f"{_ENDPOINTS}/{segment(checked(endpoint_id))}")

    def test(self, _: Caller, endpoint_id: str) -> Response:
        return self._relay(f"{_ENDPOINTS}/{segment(checked(endpoint_id))}:test")

    def deliveries(self, _: Caller) -> Response:
        return self._relay(_DELIVERIES)

    def retry(self, _: Caller, delivery_id: str) -> Response:
        return self._relay(f"{_DELIVERIES}/{segment(checked(delivery_id))}:retry")

    def _relay(self, path: str) -> Response:
        writes = request.method not in ("GET", "HEAD")
        settings = self._parts.settings
        upstream = self._parts.recommender.call(
            "webhooks",
            "GET" if request.method == "HEAD" else request.method,
            relay.with_query(path),
            body=request.get_data(cache=False, parse_form_data=False) if writes else None,
            headers=relay.forwarded_headers(),
            timeout_seconds=settings.write_timeout_seconds if writes else settings.read_timeout_seconds,
        )
        return relay.answer(upstream)


def routes(parts: Parts) -> tuple[Route, ...]:
    views = WebhookViews(parts)
    endpoint = (Content(model=WebhookEndpoint),)
    put = """-X PUT -H 'Content-Type: application/json' \\
  -d '{"url": "https://hooks.example.com/foreword", "events": ["buyer.stage_changed"]}'"""
    # fmt: off
    return (
        Route(
            "GET", _ENDPOINTS, "webhooks_list", "List webhook endpoints", "Webhooks", _ADMIN, views.many,
            gives={200: (Content(model=WebhookEndpoints),)}, errors=(503,),
        ),
        Route(
            "PUT", _ONE, "webhook_put", "Store a webhook endpoint", "Webhooks", _ADMIN, views.one,
            description="Events `buyer.stage_changed`, `account.surging` and `asset.ready` are posted to it, "
            "signed to the Standard Webhooks specification, at least once, and tried again for about three "
            "days. The secret is shown once. Storing a disabled endpoint again takes it up.",
            takes=(Content(model=WebhookEndpointInput),), gives={200: endpoint, 201: endpoint},
            errors=(400, 413, 422, 503), example=put,
        ),
        Route(
            "GET", _ONE, "webhook_get", "Read a webhook endpoint", "Webhooks", _ADMIN, views.one,
            gives={200: endpoint}, errors=(404, 422, 503),
        ),
        Route(
            "DELETE", _ONE, "webhook_delete", "Delete a webhook endpoint", "Webhooks", _ADMIN, views.one,
            gives={204: ()}, errors=(404, 422, 503), example="-X DELETE",
        ),
        Route(
            "POST", f"{_ONE}:test", "webhook_test", "Send a test event", "Webhooks", _ADMIN, views.test,
            gives={200: (Content(model=WebhookTest),)}, errors=(404, 422, 503), example="-X POST",
        ),
        Route(
            "GET", _DELIVERIES, "webhook_deliveries", "What became of each delivery", "Webhooks", _ADMIN,
            views.deliveries,
            parameters=(
                Parameter("endpoint_id", "Only of this endpoint.", TEXT),
                Parameter("state", "Only deliveries in this state.", one_of(DeliveryState)),
                Parameter(
                    "page_size", "Deliveries a page.", {"type": "integer", "minimum": 1, "maximum": 500}
                ),
                Parameter("page_token", "`next_page_token` of the page before."),
            ),
            gives={200: (Content(model=WebhookDeliveries),)}, errors=(400, 422, 503),
        ),
        Route(
            "POST", f"{_DELIVERIES}/<any_id:delivery_id>:retry", "webhook_retry", "Send a delivery again",
            "Webhooks", _ADMIN, views.retry, gives={204: ()}, errors=(404, 422, 503), example="-X POST",
        ),
    )
    # fmt: on
