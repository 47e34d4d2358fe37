"""The filter tree of the public contract: parsed once, then evaluated to a mask over the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import STAGES, TAG_FIELDS, Catalogue
from recommender.domain.errors import FilterInvalid

FIELDS = (*TAG_FIELDS, "stage", "published_at")
BRANCHES = ("must", "should", "must_not")
DEEPEST, MOST_CONDITIONS, MOST_VALUES = 5, 100, 1_000

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The asset carries at least one of the values. `stage` means its most likely stage."""

    field: str
    values: tuple[str, ...]

    def mask(self, catalogue: Catalogue) -> Mask:
        found = np.zeros(len(catalogue), dtype=np.bool_)
        if self.field == "stage":
            best = catalogue.stage.argmax(axis=1)
            for value in self.values:
                found |= best == STAGES.index(value)
            return found
        rows_of = catalogue.tag_rows.get(self.field, {})
        for value in self.values:
            rows = rows_of.get(value)
            if rows is not None:
                found[rows] = True
        return found


@dataclass(frozen=True, slots=True)
class OneOf:
    """The asset is one of these; rules name assets so, requests cannot."""

    asset_ids: tuple[str, ...]

    def mask(self, catalogue: Catalogue) -> Mask:
        found = np.zeros(len(catalogue), dtype=np.bool_)
        found[[row for a in self.asset_ids if (row := catalogue.row_of.get(a)) is not None]] = True
        return found


@dataclass(frozen=True, slots=True)
class PublishedBetween:
    """Published at or after `start` and before `end`, epoch seconds."""

    start: float
    end: float

    def mask(self, catalogue: Catalogue) -> Mask:
        found: Mask = (catalogue.published_at >= self.start) & (catalogue.published_at < self.end)
        return found


@dataclass(frozen=True, slots=True)
class Filter:
    """Every `must`, none of `must_not`, and at least one `should` where there are any."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()

    def mask(self, catalogue: Catalogue) -> Mask:
        """bool [N] over the catalogue's rows; eligibility is not looked at."""
        kept = np.ones(len(catalogue), dtype=np.bool_)
        for condition in self.must:
            kept &= condition.mask(catalogue)
        if self.should:
            kept &= np.logical_or.reduce([condition.mask(catalogue) for condition in self.should])
        for condition in self.must_not:
            kept &= ~condition.mask(catalogue)
        return kept


Condition = AnyOf | OneOf | PublishedBetween | Filter


def parse_filter(tree: object, pointer: str = "/filter") -> Filter:
    """Read `{"must": […], "should": […], "must_not": […]}`; raises FilterInvalid with a JSON pointer."""
    return _Parser().tree(tree, pointer, depth=0)


class _Parser:
    def __init__(self) -> None:
        self.conditions = 0

    def tree(self, value: object, pointer: str, depth: int) -> Filter:
        if not isinstance(value, dict):
            raise FilterInvalid(pointer, "a filter is an object with must, should or must_not")
        if depth > DEEPEST:
            raise FilterInvalid(pointer, f"a filter may be nested {DEEPEST} deep")
        branches: dict[str, tuple[Condition, ...]] = {}
        for name, entries in value.items():
            here = f"{pointer}/{_escaped(str(name))}"
            if name not in BRANCHES:
                raise FilterInvalid(here, f"unknown; a filter has {', '.join(BRANCHES)}")
            if not isinstance(entries, list):
                raise FilterInvalid(here, "must be a list of conditions")
            branches[name] = tuple(self.entry(e, f"{here}/{i}", depth) for i, e in enumerate(entries))
        return Filter(**branches)

    def entry(self, value: object, pointer: str, depth: int) -> Condition:
        self.conditions += 1
        if self.conditions > MOST_CONDITIONS:
            raise FilterInvalid(pointer, f"a filter may have {MOST_CONDITIONS} conditions")
        if not isinstance(value, dict):
            raise FilterInvalid(pointer, "a condition is an object with a field")
        if "field" not in value:
            return self.tree(value, pointer, depth + 1)
        field = value["field"]
        if not isinstance(field, str) or field not in FIELDS:
            raise FilterInvalid(f"{pointer}/field", f"unknown field; there are {', '.join(FIELDS)}")
        known = ("field", "from", "to") if field == "published_at" else ("field", "any_of")
        for key in value:
            if key not in known:
                raise FilterInvalid(
                    f"{pointer}/{_escaped(str(key))}", f"{field} takes {', '.join(known[1:])}"
                )
        return _period(value, pointer) if field == "published_at" else _any_of(field, value, pointer)


def _any_of(field: str, value: dict[str, object], pointer: str) -> AnyOf:
    values = value.get("any_of")
    here = f"{pointer}/any_of"
    if not isinstance(values, list) or not values:
        raise FilterInvalid(here, "must be a list of at least one value")
    if len(values) > MOST_VALUES:
        raise FilterInvalid(here, f"may have {MOST_VALUES} values")
    for i, one in enumerate(values):
        if not isinstance(one, str):
            raise FilterInvalid(f"{here}/{i}", "must be a text")
        if "\x00" in one:
            raise FilterInvalid(f"{here}/{i}", "holds the NUL character, which cannot be stored")
        if field == "stage" and one not in STAGES:
            raise FilterInvalid(f"{here}/{i}", f"no such stage; there are {', '.join(STAGES)}")
    return AnyOf(field, tuple(values))


def _period(value: dict[str, object], pointer: str) -> PublishedBetween:
    if "from" not in value and "to" not in value:
        raise FilterInvalid(pointer, "published_at needs from, to or both")
    start = _moment(value["from"], f"{pointer}/from") if "from" in value else float("-inf")
    end = _moment(value["to"], f"{pointer}/to") if "to" in value else float("inf")
    if start > end:
        raise FilterInvalid(pointer, "from is later than to")
    return PublishedBetween(start, end)


def _moment(value: object, pointer: str) -> float:
    if not isinstance(value, str):
        raise FilterInvalid(pointer, "must be a time such as 2026-05-03T00:00:00Z")
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise FilterInvalid(pointer, "must be a time such as 2026-05-03T00:00:00Z") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def any_of(filters: Sequence[Condition]) -> Filter:
    """A filter that holds where at least one of these holds; `filters` must not be empty."""
    return Filter(should=tuple(filters))


def all_of(filters: Sequence[Filter]) -> Filter:
    """A filter that holds where each of these holds."""
    return Filter(must=tuple(filters))
