"""The wire models refuse what makes no sense, and say where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contract.assets import AssetInput, AssetPatch
from contract.base import Id, Text, Time, Url
from contract.filters import FILTER_FIELDS
from contract.recommendations import ExplainRequest, RecommendationRequest
from contract.signals import SHORT_PATHS, TrackingBatch

ID: TypeAdapter[Any] = TypeAdapter(Id)
TIME: TypeAdapter[Any] = TypeAdapter(Time)
URL: TypeAdapter[Any] = TypeAdapter(Url)
TEXT: TypeAdapter[Any] = TypeAdapter(Text)


@pytest.mark.parametrize("value", ["a", "/", "a:b", "%2F", " ", "ü日🚀", "x" * 200, "...", "\\"])
def test_ids_of_any_printable_text(value: str) -> None:
    assert ID.validate_python(value) == value


@pytest.mark.parametrize(
    "value", ["", "x" * 201, "\n", "a\x00", "\u200b", ".", "..", "\ud800", 5, None, True]
)
def test_ids_that_are_none(value: object) -> None:
    with pytest.raises(ValidationError):
        ID.validate_python(value)


def test_times_are_aware_and_become_utc() -> None:
    assert TIME.validate_python("2026-01-01T00:00:00+05:45") == datetime(2025, 12, 31, 18, 15, tzinfo=UTC)
    assert TIME.validate_python("2026-01-01T00:00:00+05:45").tzinfo is UTC
    for wrong in ("2026-01-01T00:00:00", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "soon"):
        with pytest.raises(ValidationError):
            TIME.validate_python(wrong)


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "//x", "https://", "https://a b", "https://x\n", "x" * 3000]
)
def test_addresses_that_are_none(value: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(value)


def test_texts_that_no_database_can_hold() -> None:
    for wrong in ("a\x00", "\udc00"):
        with pytest.raises(ValidationError):
            TEXT.validate_python(wrong)
    assert TEXT.validate_python("🚀") == "🚀"


def test_what_is_wrong_is_never_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        AssetInput.model_validate({"title": "secret-words" * 100, "url": "secret-words"})
    assert "secret-words" not in str(caught.value)


def test_a_patch_may_be_empty_and_knows_what_was_said() -> None:
    assert AssetPatch.model_validate({}).model_fields_set == set()
    assert AssetPatch.model_validate({"summary": None}).model_fields_set == {"summary"}
    assert set(AssetPatch.model_fields) == set(AssetInput.model_fields) - {"id"}


@pytest.mark.parametrize("count", [0, 51, 1000, -1, 2.5, "many"])
def test_counts_out_of_range(count: object) -> None:
    with pytest.raises(ValidationError):
        RecommendationRequest.model_validate({"count": count})


def test_requests_refuse_unknown_fields_and_have_defaults() -> None:
    request = RecommendationRequest.model_validate({})
    assert (request.count, request.goal, request.explain, request.placement) == (
        5,
        "advance",
        "summary",
        "default",
    )
    for wrong in ({"user": "u"}, {"context": {"asset": "a"}}, {"goal": "sell"}, {"exclude_ids": [""]}):
        with pytest.raises(ValidationError):
            RecommendationRequest.model_validate(wrong)
    with pytest.raises(ValidationError):
        ExplainRequest.model_validate({"user_id": "u"})


def test_the_filter_fields_are_those_of_the_recommender() -> None:
    from recommender.domain.filters import FIELDS

    assert set(FILTER_FIELDS) == set(FIELDS)


def test_tracking_events_may_carry_what_they_like() -> None:
    batch = TrackingBatch.model_validate({"batch": [{"type": "track", "userId": 5, "own": [1]}], "more": 1})
    assert batch.batch[0].userId == 5
    with pytest.raises(ValidationError):
        TrackingBatch.model_validate({"batch": []})
    assert set(SHORT_PATHS) == set("tpsigabm")
