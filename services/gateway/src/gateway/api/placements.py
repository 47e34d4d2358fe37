"""Placements: the rules of one slot of a page or an email, set by whoever may write assets."""

from __future__ import annotations

from flask import Response, request

from contract.placements import (
    PlacementHistory,
    PlacementList,
    PlacementOutput,
    PlacementPreview,
    PlacementRules,
)
from contract.recommendations import RecommendationResponse
from gateway import bodies, relay
from gateway.access import Caller
from gateway.api.ids import checked
from gateway.parts import Parts
from gateway.routing import ETAG, Content, Keyed, Parameter, Route
from gateway.upstream import segment

# Whoever may archive an asset can do no more by burying it: the scope is that of assets.
_READ = Keyed("assets:read")
_WRITE = Keyed("assets:write")
_ONE = "/v1/placements/<any_id:placement_id>"
_MAX_BODY_BYTES = 1024**2


class PlacementViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def every(self, caller: Caller) -> Response:
        return self._call(caller, "placements", "/v1/placements")

    def one(self, caller: Caller, placement_id: str) -> Response:
        try:
            return self._call(caller, "placement", f"/v1/placements/{segment(checked(placement_id))}")
        finally:
            if request.method != "GET":  # what was remembered may be what is excluded now
                self._parts.fallback.forget_all()

    def history(self, caller: Caller, placement_id: str) -> Response:
        path = f"/v1/placements/{segment(checked(placement_id))}:history"
        return self._call(caller, "placement_history", path)

    def preview(self, caller: Caller) -> Response:
        return self._call(caller, "placement_preview", "/v1/placements:preview")

    def _call(self, caller: Caller, operation: str, path: str) -> Response:
        settings = self._parts.settings
        reads = request.method in ("GET", "HEAD")
        headers = {"Content-Type": "application/json", "X-Actor": f"key:{caller.key.key_id}"}
        for name in ("If-Match", "If-None-Match"):
            if name in request.headers:
                headers[name] = request.headers[name]
        upstream = self._parts.recommender.call(
            operation,
            "GET" if reads else request.method,
            path,
            body=None if reads else bodies.read_inflated(_MAX_BODY_BYTES),
            headers=headers,
            timeout_seconds=settings.read_timeout_seconds if reads else settings.write_timeout_seconds,
        )
        return relay.answer(upstream)


def routes(parts: Parts) -> tuple[Route, ...]:
    views = PlacementViews(parts)
    one = (Content(model=PlacementOutput),)
    if_match = Parameter("If-Match", "Only if it still has this ETag; else 412.", ETAG, place="header")
    # fmt: off
    return (
        Route(
            "GET", "/v1/placements", "placements_list", "List placements and their rules", "Placements",
            _READ, views.every, gives={200: (Content(model=PlacementList),)}, errors=(503,),
        ),
        Route(
            "PUT", _ONE, "placement_put", "Set the rules of a placement", "Placements", _WRITE, views.one,
            description="Pin, boost, bury, exclude, quotas, a frequency cap, and a list for strangers. In "
            "force from the next answer on. A placement needs no rules to be asked for.",
            parameters=(if_match,), takes=(Content(model=PlacementRules),), gives={200: one},
            errors=(400, 412, 413, 422, 503),
            example="""-X PUT -H 'Content-Type: application/json' \\
  -d '{"pin": ["whitepaper-7"], "exclude": ["blog-1"], "frequency_cap": {"shows": 3, "days": 14}}'""",
        ),
        Route(
            "GET", _ONE, "placement_get", "Read the rules of a placement", "Placements", _READ, views.one,
            gives={200: one}, errors=(404, 422, 503),
        ),
        Route(
            "DELETE", _ONE, "placement_delete", "Take the rules of a placement away", "Placements", _WRITE,
            views.one, parameters=(if_match,), gives={204: ()}, errors=(400, 404, 412, 422, 503),
            example="-X DELETE",
        ),
        Route(
            "GET", _ONE + ":history", "placement_history", "Who changed a placement, when and how",
            "Placements", _READ, views.history, gives={200: (Content(model=PlacementHistory),)},
            errors=(404, 422, 503),
        ),
        Route(
            "POST", "/v1/placements:preview", "placement_preview", "Try rules before they are stored",
            "Placements", Keyed("recommend"), views.preview,
            description="The recommendation that the request would get if its placement had these rules.",
            takes=(Content(model=PlacementPreview),), gives={200: (Content(model=RecommendationResponse),)},
            errors=(400, 413, 422, 503),
            example="""-H 'Content-Type: application/json' \\
  -d '{"rules": {"pin": ["whitepaper-7"]}, "request": {"user_id": "u-1"}}'""",
        ),
    )
    # fmt: on
