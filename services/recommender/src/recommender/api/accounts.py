"""The list of accounts, for the studio: internal, and no part of the public contract."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

import orjson
from flask import Blueprint, Response, request

from contract.base import BuyerStage
from recommender.api.requests import one_of, text_parameter, whole_number
from recommender.service.account_standings import StandingList
from recommender.store.account_standings import SortKey, Standing, StandingQuery
from servicekit.errors import BadRequest
from servicekit.wire import json_response

_LONGEST_SEARCH = 200
_READERS: dict[SortKey, Callable[[str], object]] = {
    "last": datetime.fromisoformat,
    "people": int,
    "stage": int,
    "surging": int,
    "name": str,
}


def blueprint(standings: StandingList) -> Blueprint:
    routes = Blueprint("accounts", __name__)

    @routes.get("/internal/accounts")
    def every() -> Response:
        sort = _sort()
        found = standings.page(
            StandingQuery(
                text=(text_parameter(request, "q") or "").strip()[:_LONGEST_SEARCH] or None,
                stage=one_of(request, "stage", get_args(BuyerStage)),
                surging=request.args.get("surging") == "true",
                sort=sort,
                descending=one_of(request, "order", ("asc", "desc")) != "asc",
                page_size=whole_number(request, "page_size", 25, 1, 100),
                after=_after(sort),
            )
        )
        return json_response(
            {
                "accounts": [_document(one) for one in found.standings],
                "total": found.total,
                "more_than_total": found.more_than_total,
                "by_stage": found.by_stage,
                "next_page_token": None if found.after is None else _token(found.after),
            }
        )

    return routes


def _document(standing: Standing) -> dict[str, Any]:
    return {
        "id": standing.external_id,
        "name": standing.name,
        "stage": {"name": standing.stage, "confidence": round(standing.confidence, 4)},
        "people": standing.people,
        "signals": standing.signals,
        "last_seen_at": standing.last_at if standing.last_at.timestamp() > 0 else None,
        "surging_topics": list(standing.surging),
        "counted_at": standing.counted_at,
    }


def _sort() -> SortKey:
    stated = one_of(request, "sort", get_args(SortKey))
    return next((key for key in get_args(SortKey) if key == stated), "last")


def _token(after: tuple[str, int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(after)).decode().rstrip("=")


def _after(sort: SortKey) -> tuple[str, int] | None:
    token = request.args.get("page_token")
    if not token:
        return None
    try:
        value, account_id = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        _READERS[sort](value)  # what the database would refuse to read
        return str(value).replace("\x00", ""), int(account_id)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise BadRequest(
            "page_token must be the next_page_token of an answer.", code="page_token_invalid"
        ) from error
