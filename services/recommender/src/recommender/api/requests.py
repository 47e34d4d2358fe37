"""Reading requests: bodies, ids, preconditions and pages, each mistake a clear problem."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Request

from recommender.domain.assets import UNCONDITIONAL, Precondition
from recommender.domain.events import MAX_ID_LENGTH
from servicekit.errors import BadRequest, FieldProblem, Unprocessable

# Weak too: a proxy that compresses an answer weakens its ETag.
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})(?:\.[a-z]+)?"')


def checked_id(value: str) -> str:
    """An id from a path: 1 to 200 printable characters."""
    if not 0 < len(value) <= MAX_ID_LENGTH or not value.isprintable() or value in {".", ".."}:
        raise Unprocessable(
            "An id has 1 to 200 printable characters and is not '.' or '..'.",
            code="id_invalid",
            fields=[FieldProblem("/id", "id_invalid", "1 to 200 printable characters")],
        )
    return value


def precondition(request: Request) -> Precondition:
    """What If-Match or If-None-Match ask of the stored asset."""
    if request.headers.get("If-None-Match", "").strip() == "*":
        return Precondition(exists=False)
    value = request.headers.get("If-Match")
    if value is None:
        return UNCONDITIONAL
    if value.strip() == "*":
        return Precondition(exists=True)
    etag = _ETAG.fullmatch(value.strip())
    if etag is None:
        raise BadRequest("If-Match must be an ETag that this address gave out.", code="etag_invalid")
    return Precondition(revision=int(etag[1]))


def text_parameter(request: Request, name: str) -> str | None:
    """A text in the query that the database can be asked for."""
    value = request.args.get(name)
    if value is not None and "\x00" in value:
        raise Unprocessable(
            f"{name} must not hold the NUL character.",
            code="fields_invalid",
            fields=[FieldProblem(f"/{name}", "nul_character", "holds a NUL character")],
        )
    return value


def one_of(request: Request, name: str, known: tuple[str, ...]) -> str | None:
    """A word in the query out of a known few; None where it isn't there."""
    value = request.args.get(name)
    if value is not None and value not in known:
        raise Unprocessable(
            f"{name} must be one of {', '.join(known)}.",
            code="fields_invalid",
            fields=[FieldProblem(f"/{name}", "unknown", ", ".join(known))],
        )
    return value


def whole_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise Unprocessable(
            f"{name} must be a whole number from {low} to {high}.",
            code="fields_invalid",
            fields=[FieldProblem(f"/{name}", "out_of_range", f"{low} to {high}")],
        )
    return value


def page_token(after: tuple[datetime, str]) -> str:
    """Where a list goes on, as text that callers hand back unread."""
    raw = orjson.dumps([after[0].isoformat(), after[1]])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_page_token(token: str | None) -> tuple[datetime, str] | None:
    if not token:
        return None
    try:
        at, asset_id = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        moment = datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise BadRequest(
            "page_token must be the next_page_token of an answer.", code="page_token_invalid"
        ) from error
    if moment.tzinfo is None or not isinstance(asset_id, str) or "\x00" in asset_id:
        raise BadRequest("page_token must be the next_page_token of an answer.", code="page_token_invalid")
    return moment, asset_id


def json_parameter(request: Request, name: str) -> Any:
    """A JSON value in the query, such as `filter`."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{name} must be JSON.", code="json_malformed") from error
