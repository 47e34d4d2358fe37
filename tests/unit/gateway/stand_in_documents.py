"""Documents as the recommender gives them: the contract's shapes, with values that tests know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STAGE = {
    "name": "consideration",
    "confidence": 0.61,
    "distribution": {"awareness": 0.2, "consideration": 0.61, "decision": 0.19},
    "evidence": [
        {"signal": "Pricing Viewed", "at": "2026-01-01T00:00:00Z", "effect": 0.8, "text": "pricing"}
    ],
    "as_of": "2026-01-02T00:00:00Z",
}


def content(number: int) -> dict[str, Any]:
    return {
        "id": f"asset-{number}",
        "title": f"Title {number}",
        "url": f"https://www.example.com/{number}",
        "type": "blog",
        "summary": f"Summary {number}",
        "image_url": None,
    }


ACCOUNT = {
    "id": "acme",
    "name": "<b>Acme",
    "stage": {"name": "decision", "confidence": 0.8},
    "people": 3,
    "signals": 1200,
    "last_seen_at": "2026-01-01T00:00:00Z",
    "surging_topics": ["a", "b", "c", "d", "e"],
    "counted_at": "2026-01-01T00:00:00Z",
}


def recommendation(
    asked: dict[str, Any], catalogue: Sequence[dict[str, Any]], request_id: str
) -> dict[str, Any]:
    wanted = [asset for asset in catalogue if asset["id"] not in asked.get("exclude_ids", ())]
    chosen = wanted[: asked.get("count", 5)]
    items = [
        {
            **asset,
            "rank": rank,
            "score": 0.5,
            "stage": "decision",
            "reasons": [
                {"code": "interest", "text": "Because you read about pumps"},
                {"code": "popular", "text": "Popular with your industry, logistics"},
            ],
            "terms": {"interest": 0.5},
        }
        for rank, asset in enumerate(chosen, start=1)
    ]
    return {
        "recommendation_id": "rec-1",
        "items": items,
        "stage": STAGE,
        "meta": {
            "request_id": request_id,
            "tier": "personal",
            "degraded": False,
            "model_version": "m1",
            "catalogue_revision": 7,
            "timings_ms": {"total": 1.0},
        },
        "warnings": [{"code": "seen", "detail": "3 assets were seen before"}],
    }


def stored_asset(asset_id: str, body: dict[str, Any], revision: int) -> dict[str, Any]:
    return {
        "id": asset_id,
        "title": body["title"],
        "url": body["url"],
        "status": "approved",
        "stage_estimate": None,
        "embedding": {"model": None, "state": "pending"},
        "revision": revision,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }


def stored_placement(placement_id: str) -> dict[str, Any]:
    return {
        "id": placement_id,
        "version": 1,
        "changed_at": "2026-01-01T00:00:00Z",
        "changed_by": "key:key_1",
        "pin": ["asset-1"],
    }
