"""Recommendations for one buyer, and why an asset is or is not among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from contract.recommendations import (
    ExplainRequest,
    RecommendationRequest,
    RecommendationResponse,
    SearchResponse,
)
from gateway import bodies, relay
from gateway.access import Caller
from gateway.api import recommendation_query
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.routing import Content, Keyed, Parameter, Route
from servicekit.errors import FieldProblem, Unprocessable, UpstreamUnavailable
from servicekit.http import UpstreamResponse
from servicekit.wire import dumps, json_response, parse, read_object

_MAX_BODY_BYTES = 256 * 1024
_POSTED = {"Content-Type": "application/json", "Accept": "application/json"}
_SEARCH_PARAMETERS = ("q", "count", "filter")
_WORDS = {"type": "string", "maxLength": 500, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}


class RecommendationViews:
    def __init__(self, parts: Parts, answers: AnswerMaker) -> None:
        self._parts = parts
        self._answers = answers

    def posted(self, caller: Caller) -> Response:
        document = read_object(bodies.read_inflated(_MAX_BODY_BYTES))
        return self._recommend(caller, parse(RecommendationRequest, document))

    def queried(self, caller: Caller) -> Response:
        pairs = request.args.items(multi=True)
        return self._recommend(caller, recommendation_query.from_query(pairs, RecommendationRequest))

    def _recommend(self, caller: Caller, asked: RecommendationRequest) -> Response:
        asked = recommendation_query.authorise(
            asked, caller, self._parts.keys.project_secret, privacy_signal=privacy_signal()
        )
        caller.count_placement(asked.placement)
        base_url = base_of_links(self._parts)
        try:
            upstream = self._ask(asked, caller)
            if 400 <= upstream.status < 500:
                return relay.answer(upstream)
            answer = self._answers.read(upstream)
        except UpstreamUnavailable:
            return json_response(self._answers.fall_back(asked, caller, base_url))
        return json_response(self._answers.finish(asked, caller, answer, base_url))

    def _ask(self, asked: RecommendationRequest, caller: Caller) -> UpstreamResponse:
        """An overloaded or broken recommender counts as one that is away."""
        upstream = self._parts.recommender.call(
            "recommend",
            "POST",
            "/v1/recommendations",
            body=dumps(recommendation_query.to_recommender(asked, caller)),
            headers=_POSTED,
            timeout_seconds=self._parts.settings.recommendation_timeout_seconds,
        )
        if upstream.status == 429 or upstream.status >= 500:
            raise UpstreamUnavailable("The recommender is overloaded or broken.")
        return upstream

    def explain(self, caller: Caller) -> Response:
        asked = parse(ExplainRequest, read_object(bodies.read_inflated(_MAX_BODY_BYTES)))
        asked = recommendation_query.authorise(asked, caller, self._parts.keys.project_secret)
        return self._read(
            "explain", "POST", "/v1/explain", recommendation_query.to_recommender(asked, caller)
        )

    def search(self, _: Caller) -> Response:
        unknown = [name for name in request.args if name not in _SEARCH_PARAMETERS]
        if unknown:
            raise _wrong(unknown[0], "unknown", "This parameter is not known here.")
        if not request.args.get("q", "").strip():
            raise _wrong("q", "missing", "Say what to search for.")
        return self._read("search", "GET", relay.with_query("/v1/search"), None)

    def _read(self, operation: str, method: str, path: str, document: Mapping[str, Any] | None) -> Response:
        upstream = self._parts.recommender.call(
            operation,
            method,
            path,
            body=None if document is None else dumps(document),
            headers=_POSTED if document is not None else relay.forwarded_headers(),
            timeout_seconds=self._parts.settings.read_timeout_seconds,
        )
        return relay.answer(upstream)


def privacy_signal() -> bool:
    """Sec-GPC: the buyer's browser asks not to be profiled."""
    return request.headers.get("Sec-GPC") == "1"


def base_of_links(parts: Parts) -> str:
    return (parts.settings.public_url or request.host_url).rstrip("/")


def _wrong(name: str, code: str, detail: str) -> Unprocessable:
    return Unprocessable(
        f"The parameter `{name}` is wrong.",
        code="fields_invalid",
        fields=[FieldProblem(f"/{name}", code, detail)],
    )


def routes(parts: Parts, answers: AnswerMaker) -> tuple[Route, ...]:
    views = RecommendationViews(parts, answers)
    # fmt: off
    anyone = Keyed("recommend", publishable=True)
    gives = {200: (Content(model=RecommendationResponse),)}
    body = """-H 'Content-Type: application/json' \\
  -d '{"anonymous_id": "a-1", "placement": "blog-sidebar", "count": 3}'"""
    why = """-H 'Content-Type: application/json' \\
  -d '{"user_id": "u-1", "asset_id": "whitepaper-7"}'"""
    return (
        Route(
            "POST", "/v1/recommendations", "recommend", "What to show a buyer next", "Recommendations",
            anyone, views.posted,
            description="Always answers: when parts of Foreword are away, `meta.degraded` is true and "
            "`meta.tier` says what the answer was made from. A publishable key sees no stage, score or "
            "evidence, and needs `user_token` to ask for a `user_id`.",
            takes=(Content(model=RecommendationRequest),), gives=gives, errors=(400, 413, 422),
            example=body, cross_origin=True,
        ),
        Route(
            "GET", "/v1/recommendations", "recommend_by_query", "The same, for templates and curl",
            "Recommendations", anyone, views.queried,
            description="The names of the POST in the query: `context.asset_id=…` or JSON for objects, "
            "`exclude_ids` as often as needed.",
            parameters=recommendation_query.parameters(RecommendationRequest), gives=gives, errors=(400, 422),
            cross_origin=True,
        ),
        Route(
            "POST", "/v1/explain", "explain", "Why an asset is or is not recommended", "Recommendations",
            Keyed("recommend"), views.explain,
            description="Each exclusion, each score term, and the rank it would have.",
            takes=(Content(model=ExplainRequest),), gives={200: (Content(schema={"type": "object"}),)},
            errors=(400, 404, 422, 503), example=why,
        ),
        Route(
            "GET", "/v1/search", "search", "Search the catalogue by meaning", "Recommendations",
            Keyed("recommend"), views.search,
            parameters=(
                Parameter("q", "What to look for, in any words.", _WORDS, required=True),
                Parameter("count", "How many.", {"type": "integer", "minimum": 1, "maximum": 50}),
                recommendation_query.FILTER,
            ),
            gives={200: (Content(model=SearchResponse),)}, errors=(400, 422, 503),
        ),
    )
    # fmt: on
