"""One recommendation answer from whatever is left: the recommender, its last good answers, a static list."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson

from contract.recommendations import RecommendationRequest
from gateway.access import Caller
from gateway.click_links import Click, ClickSealer
from gateway.disclosure import public_answer
from gateway.parts import Parts
from servicekit import logs, request_context
from servicekit.errors import UpstreamUnavailable
from servicekit.http import UpstreamResponse


class AnswerMaker:
    """Turns the recommender's answers into public ones, signs the click links, and counts.

    Without a caller (whoever has a sealed link) an answer says no more than to a publishable key.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._log = logs.get("gateway")
        self._sealer: tuple[bytes, ClickSealer] | None = None

    def read(self, upstream: UpstreamResponse) -> dict[str, Any]:
        """Raises `UpstreamUnavailable` when what came back is not an answer."""
        try:
            return self.checked(orjson.loads(upstream.body))
        except orjson.JSONDecodeError as error:
            raise UpstreamUnavailable("The recommender gave an answer that makes no sense.") from error

    @staticmethod
    def checked(document: Any) -> dict[str, Any]:
        if (
            not isinstance(document, dict)
            or not isinstance(document.get("items"), list)
            or not isinstance(document.get("meta"), dict)
            or "recommendation_id" not in document
        ):
            raise UpstreamUnavailable("The recommender gave an answer that makes no sense.")
        return document

    def finish(
        self, request: RecommendationRequest, caller: Caller | None, answer: dict[str, Any], base_url: str
    ) -> dict[str, Any]:
        """The public answer of a good one; the asset list is remembered for worse days."""
        self._parts.fallback.remember(request, answer["items"])
        return self._public(request, caller, answer, base_url)

    def fall_back(
        self, request: RecommendationRequest, caller: Caller | None, base_url: str
    ) -> dict[str, Any]:
        """An answer without the recommender: never blank while anything is left, never a 5xx."""
        started = time.perf_counter()
        found = self._parts.fallback.answer(request)
        context = request_context.current()
        items = [
            {**asset.model_dump(mode="json"), "rank": rank, "reasons": []}
            for rank, asset in enumerate(found.assets, start=1)
        ]
        answer: dict[str, Any] = {
            "recommendation_id": "fb_" + secrets.token_hex(12),
            "items": items,
            "stage": None,
            "meta": {
                "request_id": context.request_id if context else "",
                "tier": found.tier,
                "degraded": True,
                "model_version": None,
                "catalogue_revision": None,
                "timings_ms": {"total": round((time.perf_counter() - started) * 1000, 3)},
            },
            "warnings": [],
        }
        public = self._public(request, caller, answer, base_url)
        public["warnings"] = [
            {"code": "degraded", "detail": "Personal recommendations are away; this is what all are shown."},
            *([] if items else [{"code": "no_fallback", "detail": "Nothing could be shown in their place."}]),
        ]
        return public

    def _public(
        self, request: RecommendationRequest, caller: Caller | None, answer: dict[str, Any], base_url: str
    ) -> dict[str, Any]:
        self._count(request, answer)
        public = answer
        if caller is None or caller.is_publishable:
            public = public_answer(answer, request.count)
        sealer = self._current_sealer()
        for item in public["items"]:
            click = Click(
                asset_id=item["id"],
                url=item["url"],
                recommendation_id=str(answer["recommendation_id"]),
                placement=request.placement,
                channel=request.channel,
                user_id=request.user_id,
                anonymous_id=request.anonymous_id,
            )
            item["click_url"] = f"{base_url}/c/{sealer.seal(click)}"
        return public

    def _count(self, request: RecommendationRequest, answer: Mapping[str, Any]) -> None:
        metrics = self._parts.metrics
        placement = metrics.placement_label(request.placement)
        meta = answer["meta"]
        tier = meta.get("tier")
        known = tier if tier in ("personal", "account", "stage", "popular", "static") else "other"
        degraded = "true" if meta.get("degraded") else "false"
        metrics.recommendations.labels(placement, request.channel, known, degraded).inc()
        if not answer["items"]:
            metrics.empty_recommendations.labels(placement).inc()

    def _current_sealer(self) -> ClickSealer:
        secret = self._parts.keys.project_secret
        if self._sealer is None or self._sealer[0] != secret:
            self._sealer = (secret, ClickSealer(secret))
        return self._sealer[1]

    def open_click(self, token: str) -> Click:
        return self._current_sealer().open(token)
