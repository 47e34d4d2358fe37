"""Cards as columns of JSON and back: a hundred thousand of them are read in a fraction of a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import orjson

from recommender.domain.catalogue import AssetCard

_COLUMNS = tuple(field.name for field in fields(AssetCard))
_TUPLES = {"topics", "personas", "industries", "regions"}
# Of these there are few different values: each is kept once, in the file and in memory.
_REPEATED = {"type", "language", "stage_source", *_TUPLES}


def dumped(cards: Sequence[AssetCard], keys: Sequence[str]) -> bytes:
    """JSON of one list a field, in the order of AssetCard, and the `url_key`s last."""
    columns: list[object] = [_column([getattr(card, name) for card in cards], name) for name in _COLUMNS]
    return orjson.dumps([*columns, list(keys)])


def _column(values: list[Any], name: str) -> object:
    if name not in _REPEATED:
        return values
    different = list(dict.fromkeys(values))
    place = {value: i for i, value in enumerate(different)}
    return [different, [place[value] for value in values]]


def loaded(content: bytes | memoryview) -> tuple[list[AssetCard], list[str]]:
    """→ (cards, their `url_key`s)."""
    *columns, keys = orjson.loads(content)
    read = [_values(column, name) for column, name in zip(columns, _COLUMNS, strict=True)]
    return list(map(AssetCard, *read)), keys


def _values(column: Any, name: str) -> list[Any]:
    if name not in _REPEATED:
        values: list[Any] = column
        return values
    different, places = column
    if name in _TUPLES:
        different = [tuple(value) for value in different]
    return list(map(different.__getitem__, places))
