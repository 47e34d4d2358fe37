"""An asset's figures: recommended, seen, followed, to whom, and what came after."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, request

from contract.insight import AssetInsight
from gateway import relay
from gateway.access import Caller
from gateway.api.ids import checked
from gateway.parts import Parts
from gateway.routing import Content, Keyed, Parameter, Route
from gateway.upstream import segment
from servicekit.errors import FieldProblem, Unprocessable

_PARAMETERS = ("days",)


class InsightViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def asset(self, caller: Caller, asset_id: str) -> Response:
        """Who it was shown to is about people: a key that may not read buyers gets the counts alone."""
        unknown = [name for name in request.args if name not in _PARAMETERS]
        if unknown:
            raise Unprocessable(
                f"The parameter `{unknown[0]}` is not known here.",
                code="fields_invalid",
                fields=[FieldProblem(f"/{unknown[0]}", "unknown", "This parameter is not known here.")],
            )
        asked = {name: request.args[name] for name in _PARAMETERS if name in request.args}
        if caller.may("buyers:read"):
            asked["people"] = "true"
        path = f"/v1/assets/{segment(checked(asset_id))}/insight"
        upstream = self._parts.recommender.call(
            "asset_insight",
            "GET",
            f"{path}?{urlencode(asked)}" if asked else path,
            headers=relay.forwarded_headers(),
            timeout_seconds=self._parts.settings.read_timeout_seconds,
        )
        return relay.answer(upstream)


def routes(parts: Parts) -> tuple[Route, ...]:
    views = InsightViews(parts)
    days = {"type": "integer", "minimum": 1, "maximum": 365, "default": 30}
    # fmt: off
    return (
        Route(
            "GET", "/v1/assets/<any_id:asset_id>/insight", "asset_insight", "What became of an asset",
            "Assets", Keyed("assets:read"), views.asset,
            description="Recommended, seen and followed, by placement and stage; stage moves after it; what "
            "is like it. `shown_to` names people and needs the scope `buyers:read` too.",
            parameters=(Parameter("days", "How far back.", days),),
            gives={200: (Content(model=AssetInsight),)}, errors=(404, 422, 503),
        ),
    )
    # fmt: on
