"""The public contract as OpenAPI 3.1, made from the route table and the wire models.

`python -m gateway.openapi > docs/openapi.json` writes it down.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway.routing import JSON, PROBLEM, Content, Keyed, Route
from servicekit import errors

References = dict[tuple[Any, JsonSchemaMode], Any]
_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")
_ID = {"type": "string", "minLength": 1, "maxLength": 200}
_TITLES = {
    400: errors.BadRequest.title,
    401: errors.Unauthenticated.title,
    403: errors.Forbidden.title,
    404: errors.NotFound.title,
    409: errors.Conflict.title,
    412: errors.PreconditionFailed.title,
    413: errors.PayloadTooLarge.title,
    415: errors.UnsupportedMediaType.title,
    422: errors.Unprocessable.title,
    429: errors.TooManyRequests.title,
    503: errors.Unavailable.title,
}
_SUCCESSES = {200: "Done", 201: "Created", 204: "Done; no body", 302: "To the asset", 304: "Unchanged"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457, with a stable `code` and the request's id.",
    "required": ["type", "title", "status", "detail", "instance", "code", "message", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        "message": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "detail")},
            },
        },
    },
}


def document(routes: Iterable[Route], *, version: str) -> dict[str, Any]:
    """The whole OpenAPI document; the same routes always give the same document."""
    routes = tuple(routes)
    references, schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(public_path(route), {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Foreword",
            "version": version,
            "description": "The right piece of content for a business buyer, months before they are ready "
            "to buy. Times are RFC 3339 in UTC; ids are 1 to 200 printable characters, percent-encoded "
            "in paths.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM_SCHEMA},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`fw_sk_…` for servers, by scope; `fw_pk_…` for browsers.",
                },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The key as the user name, as tracking clients send it.",
                },
                "writeKey": {"type": "apiKey", "in": "query", "name": "writeKey"},
            },
        },
    }


def public_path(route: Route) -> str:
    return _VARIABLE.sub(r"{\2}", route.path)


def _schemas(routes: tuple[Route, ...]) -> tuple[References, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        for content in route.takes:
            if content.model is not None:
                wanted[(content.model, "validation")] = None
        for contents in route.gives.values():
            for content in contents:
                if content.model is not None:
                    wanted[(content.model, "serialization")] = None
    references, definitions = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    schemas = definitions["$defs"]
    for alike in _alike_both_ways(schemas):
        for way in ("-Input", "-Output"):
            schemas[alike] = schemas.pop(alike + way)
            references = _renamed(references, alike + way, alike)
            schemas = _renamed(schemas, alike + way, alike)
    return dict(references), schemas


def _alike_both_ways(schemas: dict[str, Any]) -> list[str]:
    """Models that a recursion made pydantic tell apart as input and output, though they are one."""
    plain = {
        name: re.sub(r"-(?:In|Out)put\"", '"', orjson.dumps(schema).decode())
        for name, schema in schemas.items()
    }
    pairs = [name.removesuffix("-Input") for name in schemas if name.endswith("-Input")]
    differ = {name for name in pairs if plain[f"{name}-Input"] != plain[f"{name}-Output"]}
    while more := {
        name
        for name in set(pairs) - differ
        if any(f"/{other}-" in orjson.dumps(schemas[f"{name}-Input"]).decode() for other in differ)
    }:
        differ |= more
    return [name for name in pairs if name not in differ]


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, old, new) for inner in value]
    return f"#/components/schemas/{new}" if value == f"#/components/schemas/{old}" else value


def _operation(route: Route, references: References) -> dict[str, Any]:
    access = route.access
    keyed = isinstance(access, Keyed)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": route.description,
        "tags": [route.tag],
        "security": [],
        "parameters": _parameters(route),
        "responses": _responses(route, references, (*route.errors, 401, 403, 429) if keyed else route.errors),
    }
    if isinstance(access, Keyed):
        operation["security"] = [{"bearer": [access.scope]}, {"basic": [access.scope]}]
        if access.key_in_body:
            operation["security"].append({"writeKey": []})
        operation["x-scope"] = access.scope
        operation["x-publishable"] = access.publishable
    else:
        operation["x-open-because"] = access.why
    if route.takes:
        operation["requestBody"] = {
            "required": True,
            "content": {c.media_type: _media(c, "validation", references) for c in route.takes},
        }
    if route.example:
        operation["x-curl"] = route.example
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": dict(_ID) if kind == "any_id" else {"type": "string"},
        }
        for kind, name in _VARIABLE.findall(route.path)
    ]
    return in_path + [
        {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.required,
            "description": parameter.description,
            **(
                {"content": {JSON: {"schema": dict(parameter.schema)}}}
                if parameter.as_json
                else {"schema": dict(parameter.schema)}
            ),
        }
        for parameter in route.parameters
    ]


def _responses(route: Route, references: References, refused: Iterable[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, contents in sorted(route.gives.items()):
        found[str(status)] = {"description": _SUCCESSES.get(status, _TITLES.get(status, "")) or "Answer"}
        if contents:
            found[str(status)]["content"] = {
                c.media_type: _media(c, "serialization", references) for c in contents
            }
    if any(parameter.place == "query" for parameter in route.parameters):
        found["414"] = {"description": "The address is too long"}  # said before any route is known
    for status in sorted(set(refused) - set(route.gives)):
        found[str(status)] = {
            "description": _TITLES[status],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found


def _media(content: Content, mode: JsonSchemaMode, references: References) -> dict[str, Any]:
    if content.model is not None:
        return {"schema": dict(references[(content.model, mode)])}
    return {"schema": dict(content.schema)} if content.schema is not None else {}


def render(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


def main() -> None:
    from gateway.app import create_app  # the document needs the routes, and the routes' app imports this
    from gateway.settings import GatewaySettings

    # The addresses of nothing: writing the contract down starts no loop and opens no connection.
    app = create_app(GatewaySettings.load(database_url="postgresql://nowhere/none"), start=False)
    sys.stdout.buffer.write(render(app.extensions["openapi"]()))


if __name__ == "__main__":
    main()
