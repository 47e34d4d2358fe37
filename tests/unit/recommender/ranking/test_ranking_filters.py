"""The filter tree: what it lets through, and what it refuses with a pointer."""

from __future__ import annotations

import numpy as np
import pytest

from ranking_firm import DAY, NOW, make_firm
from recommender.domain.errors import FilterInvalid
from recommender.domain.filters import parse_filter

FIRM = make_firm(60)


def kept(tree: object) -> list[int]:
    return np.flatnonzero(parse_filter(tree).mask(FIRM)).tolist()


def test_must_should_and_must_not() -> None:
    tree = {
        "must": [{"field": "language", "any_of": ["en"]}],
        "should": [{"field": "personas", "any_of": ["cio"]}, {"field": "industries", "any_of": ["retail"]}],
        "must_not": [{"field": "type", "any_of": ["blog", "webinar_product"]}],
    }
    expected = [i for i in range(60) if i % 4 and (i % 3 == 0 or i % 5 == 0) and i % 5 not in {0, 4}]
    assert kept(tree) == expected


def test_an_empty_filter_keeps_everything_and_an_unknown_value_nothing() -> None:
    assert len(kept({})) == 60
    assert kept({"must": [{"field": "type", "any_of": ["no such type"]}]}) == []


def test_stage_is_the_likeliest_stage() -> None:
    expected = np.flatnonzero(FIRM.stage.argmax(axis=1) == 2).tolist()
    assert kept({"must": [{"field": "stage", "any_of": ["decision"]}]}) == expected


def test_nested_trees_and_periods() -> None:
    start = np.datetime_as_string(np.datetime64(int(NOW - 50 * DAY), "s")) + "Z"
    tree = {"must": [{"should": [{"field": "published_at", "from": start}]}]}
    assert kept(tree) == np.flatnonzero(FIRM.published_at >= NOW - 50 * DAY).tolist()


@pytest.mark.parametrize(
    ("tree", "pointer"),
    [
        ([], "/filter"),
        ({"any": []}, "/filter/any"),
        ({"must": {}}, "/filter/must"),
        ({"must": [3]}, "/filter/must/0"),
        ({"must": [{"field": "author", "any_of": ["x"]}]}, "/filter/must/0/field"),
        ({"must": [{"field": ["type"], "any_of": ["x"]}]}, "/filter/must/0/field"),
        ({"must": [{"field": "type"}]}, "/filter/must/0/any_of"),
        ({"must": [{"field": "type", "any_of": []}]}, "/filter/must/0/any_of"),
        ({"must": [{"field": "type", "any_of": [1]}]}, "/filter/must/0/any_of/0"),
        ({"must": [{"field": "type", "any_of": ["x", "a\x00"]}]}, "/filter/must/0/any_of/1"),
        ({"must": [{"field": "type", "any_of": ["x"], "a/b": 1}]}, "/filter/must/0/a~1b"),
        ({"must": [{"field": "stage", "any_of": ["nurture"]}]}, "/filter/must/0/any_of/0"),
        ({"must_not": [{"field": "published_at"}]}, "/filter/must_not/0"),
        ({"must": [{"field": "published_at", "from": "soon"}]}, "/filter/must/0/from"),
        ({"must": [{"field": "published_at", "from": "2026-02-01", "to": "2026-01-01"}]}, "/filter/must/0"),
        ({"must": [{"field": "type", "any_of": ["x"]}] * 101}, "/filter/must/100"),
    ],
)
def test_mistakes_are_named_by_a_pointer(tree: object, pointer: str) -> None:
    with pytest.raises(FilterInvalid) as error:
        parse_filter(tree)
    assert error.value.pointer == pointer


def test_nesting_has_a_limit() -> None:
    tree: dict[str, object] = {"must": [{"field": "type", "any_of": ["blog"]}]}
    for _ in range(6):
        tree = {"must": [tree]}
    with pytest.raises(FilterInvalid):
        parse_filter(tree)
