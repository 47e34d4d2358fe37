"""Reading JSON from the outside into typed models, and writing answers: the base of every wire contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from flask import Response
from pydantic import BaseModel, ValidationError

from servicekit.errors import BadRequest, FieldProblem, Unprocessable

Model = TypeVar("Model", bound=BaseModel)
_LIMIT_OF_LISTED_PROBLEMS = 20
# The parser reads deeper than the writer writes, and than functions that call themselves can follow.
DEEPEST = 64


def read_json(body: bytes, deepest: int | None = DEEPEST) -> Any:
    """Parse a body as JSON; an empty or malformed one is a 400 that says where it broke off.

    What is nested deeper than `deepest` is a 422; None is for whoever judges that by itself.
    """
    if not body.strip():
        raise BadRequest("The body is empty; send a JSON object.", code="body_empty")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            code="json_malformed",
        ) from error
    if deepest is not None and body.count(b"{") + body.count(b"[") > deepest:
        require_shallow(value, deepest)
    return value


def require_shallow(value: Any, deepest: int = DEEPEST) -> None:
    """Raises `Unprocessable` for JSON that is nested deeper than this; level by level, so at any depth."""
    level = [value]
    for _ in range(deepest + 1):
        level = [
            inner
            for node in level
            if isinstance(node, dict | list)
            for inner in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise Unprocessable(f"The JSON is nested more than {deepest} levels deep.", code="json_too_deep")


def read_object(body: bytes, deepest: int | None = DEEPEST) -> dict[str, Any]:
    value = read_json(body, deepest)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="json_not_an_object")
    return value


def field_problems(error: ValidationError, prefix: str = "") -> list[FieldProblem]:
    """Pydantic's findings as RFC 6901 pointers; the offending values are left out on purpose."""
    found = []
    for mistake in error.errors(include_input=False, include_url=False, include_context=False):
        path = "".join(
            "/" + str(part).replace("~", "~0").replace("/", "~1") for part in _location(mistake["loc"])
        )
        detail = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            detail = "This field is not known here."
        found.append(FieldProblem(prefix + path, mistake["type"], detail))
    return found[:_LIMIT_OF_LISTED_PROBLEMS]


def _location(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Pydantic ends the place of a wrong key with "[key]", which is no part of the document."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def parse(model: type[Model], value: Mapping[str, Any]) -> Model:
    """Validate a mapping; what does not fit is a 422 with every field named."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise unprocessable(error) from error


def unprocessable(error: ValidationError) -> Unprocessable:
    fields = field_problems(error)
    named = ", ".join(sorted({f.pointer or "/" for f in fields})[:5])
    return Unprocessable(f"These fields are wrong: {named}.", code="fields_invalid", fields=fields)


def dumps(value: Any) -> bytes:
    """JSON bytes; datetimes as RFC 3339 in UTC with Z, dataclasses and NumPy scalars included."""
    return orjson.dumps(
        value, option=orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_OMIT_MICROSECONDS
    )


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = value if isinstance(value, bytes) else dumps(value)
    return Response(body, status=status, mimetype="application/json", headers=dict(headers or {}))
