"""How a route is declared: its path, who may call it, and what it takes and gives, all in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response
from pydantic import BaseModel
from werkzeug.routing import PathConverter

View = Callable[..., Response]
JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


class AnyIdConverter(PathConverter):
    """An id of any printable text: it may hold slashes, and begin or end with one."""

    regex = "(?s:.+?)"
    part_isolating = False


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


def init_app(app: Flask) -> None:
    app.url_map.converters["any_id"] = AnyIdConverter


def register(app: Flask, routes: tuple[Route, ...], guard: Callable[[Route, View], View]) -> None:
    for route in routes:
        if route.view is not None:
            app.add_url_rule(
                route.path,
                route.name,
                guard(route, route.view),
                methods=[route.method],
                # An id may end with a slash, which a lenient rule would take away.
                strict_slashes="<any_id:" in route.path,
            )
