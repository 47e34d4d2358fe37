"""Routes of the placements' rules."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.placements import PlacementOutput, PlacementPreview, PlacementRules
from recommender.api.requests import checked_id, precondition
from recommender.service.placements import PlacementService, checked_rules, document_of
from recommender.service.recommendations import RecommendationService
from servicekit.wire import json_response, parse, read_object

_LONGEST_ACTOR = 200


def blueprint(placements: PlacementService, recommendations: RecommendationService) -> Blueprint:
    routes = Blueprint("placements", __name__)

    @routes.get("/v1/placements")
    def every() -> Response:
        return json_response(placements.all().model_dump())

    @routes.get("/v1/placements/<id:placement_id>")
    def get(placement_id: str) -> Response:
        return _placement(placements.get(checked_id(placement_id)))

    @routes.get("/v1/placements/<id:placement_id>:history")
    def history(placement_id: str) -> Response:
        return json_response(placements.history(checked_id(placement_id)).model_dump())

    @routes.put("/v1/placements/<id:placement_id>")
    def put(placement_id: str) -> Response:
        rules = parse(PlacementRules, read_object(request.get_data()))
        return _placement(placements.put(checked_id(placement_id), rules, _actor(), precondition(request)))

    @routes.delete("/v1/placements/<id:placement_id>")
    def delete(placement_id: str) -> Response:
        placements.delete(checked_id(placement_id), _actor(), precondition(request))
        return Response(status=204)

    @routes.post("/v1/placements:preview")
    def preview() -> Response:
        asked = parse(PlacementPreview, read_object(request.get_data()))
        rules = checked_rules(document_of(asked.rules))
        return json_response(recommendations.preview(asked.request, rules).model_dump())

    return routes


def _placement(output: PlacementOutput) -> Response:
    return json_response(output.model_dump(), headers={"ETag": f'"{output.version}"'})


def _actor() -> str:
    """Whoever the gateway says it is: a key or a user of the studio."""
    stated = "".join(c for c in request.headers.get("X-Actor", "") if c.isprintable())
    return stated[:_LONGEST_ACTOR] or "unknown"
