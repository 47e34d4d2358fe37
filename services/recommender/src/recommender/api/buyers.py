"""Routes that tell what is known of buyers and accounts, and take it away."""

from __future__ import annotations

from flask import Blueprint, Response

from recommender.api.requests import checked_id
from recommender.service.buyers import BuyerService
from recommender.service.erasure import ErasureService
from servicekit.wire import json_response


def blueprint(buyers: BuyerService, erasure: ErasureService) -> Blueprint:
    routes = Blueprint("buyers", __name__)

    @routes.get("/v1/buyers/<id:buyer_id>:export")
    def export(buyer_id: str) -> Response:
        return json_response(erasure.export(checked_id(buyer_id)))

    @routes.post("/v1/buyers/<id:buyer_id>:erase")
    def erase(buyer_id: str) -> Response:
        return json_response(erasure.erase(checked_id(buyer_id)).model_dump())

    @routes.get("/v1/buyers/<id:buyer_id>")
    def buyer(buyer_id: str) -> Response:
        return json_response(buyers.buyer(checked_id(buyer_id)).model_dump())

    @routes.get("/v1/accounts/<id:account_id>")
    def account(account_id: str) -> Response:
        return json_response(buyers.account(checked_id(account_id)).model_dump())

    return routes
