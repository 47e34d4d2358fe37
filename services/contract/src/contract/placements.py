"""Placements on the wire: the rules that a content team sets for one slot of a page or an email."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from contract.assets import Title
from contract.base import Id, Number, Time, Whole, WireModel
from contract.filters import Filter
from contract.recommendations import MAX_COUNT, RecommendationRequest

MAX_PINS = 50
Ids = Annotated[tuple[Id, ...], Field(max_length=500)]


class Target(WireModel):
    """Assets by id, by a filter, or both: whatever either of them names."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["asset_ids"], "properties": {"asset_ids": {"minItems": 1}}},
                {"required": ["filter"], "properties": {"filter": {"type": "object"}}},
            ]
        }
    )

    asset_ids: Ids = ()
    filter: Filter | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.asset_ids and self.filter is None:
            raise ValueError("name assets by `asset_ids`, by `filter`, or both")
        return self


class Weighted(Target):
    strength: Number = Field(
        1.0, gt=0, le=100, allow_inf_nan=False, description="In points of the score that `explain` shows."
    )


class Quota(Target):
    at_most: Whole = Field(ge=0, le=MAX_COUNT, description="So many of them in one answer, and no more.")


class FrequencyCap(WireModel):
    """An asset that was shown to a buyer so often, unanswered, rests."""

    shows: Whole = Field(ge=1, le=1_000)
    days: Number = Field(
        30.0, gt=0, le=3_650, allow_inf_nan=False, description="How long it rests after the last show."
    )


def _target_of(value: object) -> object:
    return {"asset_ids": [value]} if isinstance(value, str) else value


class PlacementRules(WireModel):
    """The body of PUT. Everything is optional: a placement without rules is ranked as any other."""

    name: Title | None = None
    pin: Annotated[tuple[Id, ...], Field(max_length=MAX_PINS)] = Field(
        (), description="Shown first, in this order, to buyers who have not engaged with them yet."
    )
    boost: Annotated[tuple[Weighted, ...], Field(max_length=20)] = ()
    bury: Annotated[tuple[Weighted, ...], Field(max_length=20)] = ()
    exclude: Annotated[
        tuple[Annotated[Target, BeforeValidator(_target_of, json_schema_input_type=Id | Target)], ...],
        Field(max_length=100),
    ] = Field((), description="Never shown here; an asset's id alone will do as well.")
    quotas: Annotated[tuple[Quota, ...], Field(max_length=10)] = ()
    max_per_type: Whole | None = Field(None, ge=1, le=MAX_COUNT)
    frequency_cap: FrequencyCap | None = None
    static: Annotated[tuple[Id, ...], Field(max_length=MAX_PINS)] = Field(
        (), description="Shown first, in this order, where nothing is known of the buyer or of anybody."
    )


class PlacementWarning(WireModel):
    code: str
    detail: str


class PlacementOutput(PlacementRules):
    """A placement as it is stored, with who changed it last."""

    id: Id
    version: int
    changed_at: Time
    changed_by: str
    warnings: tuple[PlacementWarning, ...] = ()


class PlacementList(WireModel):
    placements: tuple[PlacementOutput, ...]


class PlacementVersion(WireModel):
    """One version that there was; `rules` is null where it was deleted."""

    version: int
    rules: PlacementRules | None
    changed_at: Time
    changed_by: str


class PlacementHistory(WireModel):
    id: Id
    versions: tuple[PlacementVersion, ...]


class PlacementPreview(WireModel):
    """Rules that are not stored yet, and the request that they should be tried on."""

    rules: PlacementRules
    request: RecommendationRequest = RecommendationRequest()
