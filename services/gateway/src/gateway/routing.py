"""How a route is declared: its path, who may call it, and what it takes and gives, all in one place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from flask import Flask, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import MethodNotAllowed

View = Callable[..., Response]
JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
REFUSED = "refused: "  # begins the endpoints of no route of the contract
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
# What the database and the log can hold, and what an ETag of ours looks like.
TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}
ETAG = {"type": "string", "pattern": r'^(\*|(W/)?"[0-9]{1,18}(\.[a-z]+)?")$'}


def one_of(values: Any) -> dict[str, Any]:
    """The schema of a parameter that takes one of a `Literal`'s values."""
    return {"type": "string", "enum": [*get_args(values)]}


@dataclass(frozen=True, slots=True)
class Open:
    """A route that needs no key; `why` says so out loud."""

    why: str


@dataclass(frozen=True, slots=True)
class Keyed:
    """A route that needs a key: a secret one with `scope`, or, where `publishable`, a publishable one."""

    scope: str
    publishable: bool = False
    key_in_body: bool = False  # tracking clients may send `writeKey` in the query or the body


Access = Open | Keyed


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or the header."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    place: str = "query"
    as_json: bool = False  # the value is JSON text, and the schema is that of the JSON


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its media type, and the model, schema or nothing that describes it."""

    media_type: str = JSON
    model: type[BaseModel] | None = None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One address and method of the public contract."""

    method: str
    path: str  # as Flask writes it: /v1/assets/<any_id:id>
    name: str
    summary: str
    tag: str
    access: Access
    view: View | None  # None: registered elsewhere (health checks), only described here
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    takes: tuple[Content, ...] = ()
    gives: Mapping[int, tuple[Content, ...]] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    example: str = ""  # the part of a curl command after the address
    cross_origin: bool = False


def register(app: Flask, routes: tuple[Route, ...], guard: Callable[[Route, View], View]) -> None:
    verbs = _verbs_on_ids(routes)
    for route in routes:
        if route.view is not None:
            app.add_url_rule(
                route.path,
                route.name,
                guard(route, route.view),
                methods=[route.method],
                # An id may end with a slash, which a lenient rule would take away.
                strict_slashes="<any_id:" in route.path,
                provide_automatic_options=False if route.path in verbs else None,
            )
    # `DELETE …/a/insight` must not delete the asset `a/insight`: that is written `a%2Finsight`.
    for path, taken in verbs.items():
        allowed = sorted(taken | {"OPTIONS"} | ({"HEAD"} if "GET" in taken else set()))
        app.add_url_rule(
            path,
            f"{REFUSED}{path}",
            functools.partial(_refuse, tuple(allowed)),
            methods=_METHODS - taken,
            strict_slashes=True,
            provide_automatic_options=False,
        )


def _verbs_on_ids(routes: tuple[Route, ...]) -> dict[str, set[str]]:
    """Addresses that an id with more behind it could be taken for, with their methods."""
    ids = tuple({path for route in routes if (path := route.path).endswith(">") and "<any_id:" in path})
    found: dict[str, set[str]] = {}
    for route in routes:
        if route.path not in ids and route.path.startswith(ids):
            found.setdefault(route.path, set()).add(route.method)
    return found


def _refuse(allowed: tuple[str, ...], **_: str) -> Response:
    if request.method == "OPTIONS":
        return Response(headers={"Allow": ", ".join(allowed)})
    raise MethodNotAllowed(valid_methods=list(allowed))
