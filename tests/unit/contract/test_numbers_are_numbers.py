"""A text or a switch is no number: what clients read in the schema is what is taken."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contract.base import WireModel
from contract.placements import PlacementRules
from contract.recommendations import RecommendationRequest
from contract.webhooks import WebhookEndpointInput


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (RecommendationRequest, {"count": "5"}),
        (RecommendationRequest, {"count": True}),
        (PlacementRules, {"max_per_type": "1"}),
        (PlacementRules, {"boost": [{"asset_ids": ["a"], "strength": "2"}]}),
        (PlacementRules, {"frequency_cap": {"shows": True, "days": 1}}),
        (WebhookEndpointInput, {"url": "https://a.example", "events": ["asset.ready"], "rotate_secret": "f"}),
    ],
)
def test_nothing_else_is_taken_for_one(model: type[WireModel], fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(fields)


def test_a_whole_number_is_a_strength_too() -> None:
    rules = PlacementRules.model_validate({"boost": [{"asset_ids": ["a"], "strength": 2}], "max_per_type": 1})
    assert rules.boost[0].strength == 2.0
