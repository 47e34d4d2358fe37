"""The filter tree on the wire: its shape for readers and generators; the recommender judges it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from contract.base import StageName, Text, Time, WireModel

TagField = Literal["type", "language", "topics", "personas", "industries", "regions"]
FILTER_FIELDS: tuple[str, ...] = (*TagField.__args__, "stage", "published_at")  # type: ignore[attr-defined]
_Values = Field(min_length=1, max_length=1_000)
_Conditions = Field(max_length=100)


class TagCondition(WireModel):
    """The asset carries at least one of the values."""

    field: TagField
    any_of: Annotated[tuple[Text, ...], _Values]


class StageCondition(WireModel):
    """The asset's likeliest stage is one of these."""

    field: Literal["stage"]
    any_of: Annotated[tuple[StageName, ...], _Values]


class PublishedFrom(WireModel):
    """Published at this moment or later."""

    field: Literal["published_at"]
    from_: Time = Field(alias="from")


class PublishedBefore(WireModel):
    """Published before this moment."""

    field: Literal["published_at"]
    to: Time


class PublishedBetween(PublishedFrom, PublishedBefore):
    """Both."""


class FilterTree(WireModel):
    """Every `must`, none of `must_not`, and at least one `should` where there are any; at most 5 deep."""

    must: Annotated[tuple[FilterCondition, ...], _Conditions] = ()
    should: Annotated[tuple[FilterCondition, ...], _Conditions] = ()
    must_not: Annotated[tuple[FilterCondition, ...], _Conditions] = ()


FilterCondition = (
    TagCondition | StageCondition | PublishedFrom | PublishedBefore | PublishedBetween | FilterTree
)
FilterTree.model_rebuild()


class _ShapedAs:
    """The schema of a model, for a value that is judged elsewhere: an unknown field is a 400 and no 422."""

    def __init__(self, model: type[WireModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self._model.__pydantic_core_schema__)


Filter = Annotated[dict[str, Any], _ShapedAs(FilterTree)]
