"""Recommendation requests from a body or from a query string, into the one model of the contract."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, TypeVar

from contract.recommendations import RecommendationRequest
from gateway import consent
from gateway.access import Caller
from gateway.disclosure import check_request
from gateway.routing import Parameter
from servicekit.errors import BadRequest, Forbidden
from servicekit.whole_numbers import natural
from servicekit.wire import parse, read_json

Asked = TypeVar("Asked", bound=RecommendationRequest)
_COMPONENTS = "#/components/schemas/{model}"
_LISTS = ("exclude_ids",)
_WHOLE = frozenset({"count"})
_OBJECTS = ("context", "filter")
FILTER = Parameter(
    "filter", "A filter tree, as JSON.", {"$ref": _COMPONENTS.format(model="FilterTree")}, as_json=True
)


def from_query(pairs: Iterable[tuple[str, str]], model: type[Asked]) -> Asked:
    """`?context.asset_id=a&exclude_ids=b&exclude_ids=c&filter={…}`; a name twice is a 400, unless a list."""
    found: dict[str, Any] = {}
    for name, text in pairs:
        outer, dot, inner = name.partition(".")
        if name in _LISTS:
            found.setdefault(name, []).append(text)
            continue
        target: Any = found
        field = name
        if dot and outer in _OBJECTS:
            target, field = found.setdefault(outer, {}), inner
        if not isinstance(target, dict) or field in target:
            raise BadRequest(f"`{outer}` is given twice.", code="parameter_repeated")
        target[field] = _value(name, text)
    return parse(model, found)


def _value(name: str, text: str) -> Any:
    if name in _OBJECTS:
        return read_json(text.encode())
    number = natural(text) if name in _WHOLE else None
    return text if number is None else number


def parameters(
    model: type[RecommendationRequest], *, without: Container[str] = (), required: Container[str] = ()
) -> tuple[Parameter, ...]:
    """From the model, so that the query can never fall behind the body."""
    schema = model.model_json_schema(ref_template=_COMPONENTS)
    fields: dict[str, Any] = dict(schema["properties"])
    del fields["context"]
    fields |= {
        f"context.{name}": field for name, field in schema["$defs"]["PageContext"]["properties"].items()
    }
    found = []
    for name, field in fields.items():
        if name in without or name.partition(".")[0] in without:
            continue
        if name == "filter":
            found.append(FILTER)
            continue
        inner = name.partition(".")[2]
        description = field.get("description") or (f"The page's {inner}." if inner else "")
        found.append(Parameter(name, description, _plain(field), required=name in required))
    return tuple(found)


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    """What may stand in a query: nothing is null there, it is left out."""
    (kind,) = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    return {name: value for name, value in kind.items() if name not in ("title", "description")}


def authorise(
    request: Asked, caller: Caller, project_secret: bytes, *, privacy_signal: bool = False
) -> Asked:
    """The request as far as the buyer's consent goes. Raises `Forbidden` for what this key may not ask."""
    if caller.is_publishable:
        check_request(request, project_secret)
    elif request.as_of is not None and not caller.may("admin"):
        raise Forbidden("`as_of` needs the scope `admin`.", code="scope_missing")
    return consent.limited(request, privacy_signal=privacy_signal)


def to_recommender(request: RecommendationRequest, caller: Caller) -> dict[str, Any]:
    """What the recommender is asked: no token, and for a browser no more than it may see."""
    document = request.model_dump(mode="json", exclude={"user_token", "consent"}, exclude_unset=True)
    if caller.is_publishable and request.explain == "full":
        document["explain"] = "summary"
    return document
