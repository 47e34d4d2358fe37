"""Routes that answer what to show, why, and what is found for a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flask import Blueprint, Response, request

from contract.recommendations import MAX_COUNT, RecommendationRequest
from recommender.api.requests import checked_id, json_parameter, whole_number
from recommender.domain.errors import FilterInvalid
from recommender.service.estimates import StageEstimator
from recommender.service.recommendations import RecommendationService
from recommender.service.search import SearchService
from servicekit.errors import BadRequest, ForewordError, PayloadTooLarge, problem_document
from servicekit.wire import dumps, json_response, parse, read_object

_BLOCK = 64
_MAX_LINES = 10_000


def blueprint(
    recommendations: RecommendationService, estimator: StageEstimator, search: SearchService
) -> Blueprint:
    routes = Blueprint("recommendations", __name__)

    @routes.post("/v1/recommendations")
    def recommend() -> Response:
        asked = parse(RecommendationRequest, read_object(request.get_data()))
        answer = recommendations.recommend(asked, noted=_is_for_a_buyer())
        return json_response(answer.model_dump(mode="python"))

    @routes.post("/v1/recommendations:batch")
    def batch() -> Response:
        lines = [line for line in request.get_data().split(b"\n") if line.strip()]
        if len(lines) > _MAX_LINES:
            raise PayloadTooLarge(f"A batch has at most {_MAX_LINES} lines.", code="too_many_lines")
        return Response(
            _answers(lines, recommendations, noted=_is_for_a_buyer()), mimetype="application/x-ndjson"
        )

    @routes.post("/v1/explain")
    def why() -> Response:
        body = read_object(request.get_data())
        asset_id = body.pop("asset_id", None)
        if not isinstance(asset_id, str):
            raise BadRequest("`asset_id` says which asset to explain.", code="asset_id_missing")
        asked = parse(RecommendationRequest, body)
        explanation, estimate, now = recommendations.explain(asked, checked_id(asset_id))
        return json_response(
            {
                "asset_id": explanation.asset_id,
                "recommended": explanation.rank is not None,
                "rank": explanation.rank,
                "would_rank": explanation.would_rank,
                "score": explanation.score,
                "terms": dict(explanation.terms),
                "exclusions": [{"code": code, "text": text} for code, text in explanation.exclusions],
                "reasons": [{"code": code, "text": text} for code, text in explanation.reasons],
                "tier": explanation.tier,
                "stage": estimator.shown(estimate, now, with_evidence=True).model_dump(),
            }
        )

    @routes.get("/v1/search")
    def find() -> Response:
        text = request.args.get("q", "").strip()
        if not 0 < len(text) <= 500:
            raise BadRequest("`q` is the text to search for, up to 500 characters.", code="query_missing")
        count = whole_number(request, "count", 10, 1, MAX_COUNT)
        found = search.search(text, count, json_parameter(request, "filter"))
        return json_response(found.model_dump())

    return routes


def _is_for_a_buyer() -> bool:
    """False for what somebody of the firm looks at, such as the studio's previews."""
    return request.headers.get("X-Purpose", "").lower() != "preview"


def _answers(
    lines: Sequence[bytes], recommendations: RecommendationService, *, noted: bool
) -> Iterator[bytes]:
    """One line each, in order: an answer, or the problem with that line."""
    for start in range(0, len(lines), _BLOCK):
        block = lines[start : start + _BLOCK]
        results: list[dict[str, Any] | None] = [None] * len(block)
        asked: list[RecommendationRequest] = []
        places: list[int] = []
        for place, line in enumerate(block):
            try:
                asked.append(parse(RecommendationRequest, read_object(line)))
                places.append(place)
            except ForewordError as error:
                results[place] = _problem(error)
        for place, answer in zip(places, _recommend_each(asked, recommendations, noted), strict=True):
            results[place] = answer
        yield b"".join(dumps(result) + b"\n" for result in results)


def _recommend_each(
    asked: Sequence[RecommendationRequest], recommendations: RecommendationService, noted: bool
) -> list[dict[str, Any]]:
    try:
        answers = recommendations.recommend_many(asked, noted=noted)
        return [answer.model_dump(mode="python") for answer in answers]
    except FilterInvalid as error:
        if len(asked) == 1:
            return [_problem(BadRequest(str(error), code="filter_invalid"))]
        return [one for one_asked in asked for one in _recommend_each([one_asked], recommendations, noted)]


def _problem(error: ForewordError) -> dict[str, Any]:
    return problem_document(error, instance="/v1/recommendations:batch", request_id="")
