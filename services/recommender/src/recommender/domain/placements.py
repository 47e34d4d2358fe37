"""Placements: the rules of one slot as they are kept, and as the ranking takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recommender.domain.errors import FilterInvalid
from recommender.domain.filters import Condition, Filter, OneOf, any_of, parse_filter
from recommender.domain.ranking_request import PlacementRules


@dataclass(frozen=True, slots=True)
class StoredPlacement:
    """`rules` under the names of the contract; `version` grows with every change, also over a deletion."""

    placement_id: str
    version: int
    rules: Mapping[str, Any]
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class PlacementChange:
    """One version that there was; `rules` is None for a deletion."""

    version: int
    rules: Mapping[str, Any] | None
    changed_at: datetime
    changed_by: str


def compile_rules(document: Mapping[str, Any], mistakes: list[FilterInvalid] | None = None) -> PlacementRules:
    """What the ranking takes, from the contract's document.

    Filters that cannot be read are added to `mistakes`, with their places; without that list the first one
    is raised.
    """
    reader = _Reader(mistakes)
    excluded = document.get("exclude", ())
    plain = [asset_id for target in excluded for asset_id in target.get("asset_ids", ())]
    filters = [
        reader.filter(target["filter"], f"/exclude/{i}/filter")
        for i, target in enumerate(excluded)
        if target.get("filter") is not None
    ]
    cap = document.get("frequency_cap")
    return PlacementRules(
        pin=tuple(document.get("pin", ())),
        boost=tuple(reader.weighted(document.get("boost", ()), "boost")),
        bury=tuple(reader.weighted(document.get("bury", ()), "bury")),
        exclude=any_of(filters) if filters else None,
        exclude_ids=frozenset(plain),
        most_of_type=document.get("max_per_type"),
        most_shows=None if cap is None else int(cap["shows"]),
        rest_days=None if cap is None else float(cap["days"]),
        quotas=tuple(
            (reader.target(quota, f"/quotas/{i}"), int(quota["at_most"]))
            for i, quota in enumerate(document.get("quotas", ()))
        ),
        static=tuple(document.get("static", ())),
    )


class _Reader:
    def __init__(self, mistakes: list[FilterInvalid] | None) -> None:
        self._mistakes = mistakes

    def filter(self, tree: object, pointer: str) -> Filter:
        try:
            return parse_filter(tree, pointer)
        except FilterInvalid as error:
            if self._mistakes is None:
                raise
            self._mistakes.append(error)
            return Filter()

    def target(self, target: Mapping[str, Any], pointer: str) -> Filter:
        named: list[Condition] = []
        if target.get("asset_ids"):
            named.append(OneOf(tuple(target["asset_ids"])))
        if target.get("filter") is not None:
            named.append(self.filter(target["filter"], f"{pointer}/filter"))
        return any_of(named)

    def weighted(self, targets: Sequence[Mapping[str, Any]], field: str) -> list[tuple[Filter, float]]:
        return [(self.target(t, f"/{field}/{i}"), float(t["strength"])) for i, t in enumerate(targets)]
