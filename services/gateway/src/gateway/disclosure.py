"""What a publishable key may ask and see: it runs in a stranger's browser, so nothing about a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.recommendations import RecommendationRequest
from gateway.keys import token_is_valid
from servicekit.errors import Forbidden

# Reasons that say something about the asset or the page, never about the buyer; the words are ours, since
# the recommender's may name the buyer's industry or what they read.
PUBLIC_REASONS: Mapping[str, str] = {
    "popular": "Popular with readers",
    "trending": "Trending now",
    "fresh": "Published recently",
    "quality": "Often chosen by readers",
    "context": "Related to this page",
    "query": "Matches your search",
}
_PUBLIC_ITEM_FIELDS = ("id", "title", "url", "type", "summary", "image_url", "rank")


def check_request(request: RecommendationRequest, project_secret: bytes) -> None:
    """Raises `Forbidden` for what only a secret key may ask."""
    for name, asked in (
        ("as_of", request.as_of is not None),
        ("account_id", request.account_id is not None),
        ("filter", _filters_on_stage(request.filter)),
    ):
        if asked:
            what = "a filter on `stage`" if name == "filter" else f"`{name}`"
            raise Forbidden(f"A publishable key may not send {what}.", code="secret_key_needed")
    if request.user_id is None:
        return
    if not request.user_token:
        raise Forbidden(
            "With a publishable key, `user_id` needs `user_token`; or send `anonymous_id` alone.",
            code="user_token_missing",
        )
    if not token_is_valid(project_secret, request.user_id, request.user_token):
        raise Forbidden("This `user_token` does not belong to this `user_id`.", code="user_token_invalid")


def _filters_on_stage(tree: object) -> bool:
    """Wherever in the tree `stage` is named as a field: refuse, whatever the tree's shape."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if "stage" in node or node.get("field") == "stage":
                return True
            waiting.extend(node.values())
        elif isinstance(node, (list, tuple)):
            waiting.extend(node)
    return False


def public_answer(answer: Mapping[str, Any], asked_count: int) -> dict[str, Any]:
    """An allow-list, so that a field added to the recommender's answer tomorrow stays hidden."""
    items = answer.get("items", ())
    meta = answer.get("meta", {})
    public: dict[str, Any] = {
        "recommendation_id": answer["recommendation_id"],
        "items": [_public_item(item) for item in items],
        "meta": {
            "request_id": meta.get("request_id", ""),
            "tier": meta.get("tier", "popular"),
            "degraded": bool(meta.get("degraded", False)),
            "model_version": meta.get("model_version"),
            "catalogue_revision": meta.get("catalogue_revision"),
            "timings_ms": meta.get("timings_ms", {}),
        },
        "warnings": [],
    }
    if len(items) < asked_count:
        public["warnings"].append(
            {"code": "fewer_items", "detail": f"{len(items)} of {asked_count} assets could be shown."}
        )
    return public


def _public_item(item: Mapping[str, Any]) -> dict[str, Any]:
    public: dict[str, Any] = {name: item.get(name) for name in _PUBLIC_ITEM_FIELDS}
    codes = [reason.get("code") for reason in item.get("reasons", ())]
    public["reasons"] = [
        {"code": code, "text": PUBLIC_REASONS[code]} for code in codes if code in PUBLIC_REASONS
    ]
    return public
