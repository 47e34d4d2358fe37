"""The table of signals, the rules of identities, and folding, without a database."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from recommender.domain.buyer_state import BuyerState, empty_state
from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.identities import links_earlier, merge_traits, role_of
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.numeric.account_profile import merge_profiles
from recommender.numeric.fold_state import LoggedSignal, fold_state

KINDS = load_signal_kinds()
DAY = 86_400.0


def test_every_mistake_of_a_table_is_listed() -> None:
    table = b"""
[defaults]
track = "nothing"
[events]
"A" = "gone"
[kinds]
page = { engagement = -1 }
view = { engagement = "much" }
[by_type.lost]
x = "y"
[like_kind]
page = "lost"
"""
    with pytest.raises(ConfigurationInvalid) as caught:
        load_signal_kinds(table, source="ours.toml")
    told = str(caught.value)
    for word in (
        "ours.toml",
        "'other'",
        "'click'",
        "page: engagement",
        "view: engagement",
        "'gone'",
        "'nothing'",
    ):
        assert word in told
    assert "[defaults] lacks 'screen'" in told
    with pytest.raises(ConfigurationInvalid, match="not TOML"):
        load_signal_kinds(b"[kinds")
    with pytest.raises(ConfigurationInvalid, match="not TOML"):
        load_signal_kinds(b"\xff")


def test_events_and_pages_lead_to_kinds() -> None:
    assert KINDS.kind_of_event("  asset downloaded ") == "download"
    assert KINDS.kind_of_event("Never heard of") == "other"
    assert KINDS.kind_of_page("/de/Preise/2026") == "pricing"
    assert KINDS.kind_of_page("/about") == "page"
    assert KINDS.stage_signal_of("view", "case_study") == "view_case_study"
    assert KINDS.stage_signal_of("click", "case_study") == "view_case_study"
    assert KINDS.stage_signal_of("view", "never heard of") == "view_educational"
    assert KINDS.stage_signal_of("impression", None) is None


def test_traits_merge_the_same_in_any_order() -> None:
    parts: list[dict[str, tuple[Any, float]]]
    parts = [{"a": (1, 5.0)}, {"a": ("x", 5.0), "b": (None, 1.0)}, {"a": ({"k": 1}, 4.0), "b": (2, 1.0)}]
    merged = {str(merge_traits(*random.Random(n).sample(parts, 3))["a"]) for n in range(20)}
    assert len(merged) == 1
    assert merge_traits(*parts) == merge_traits(merge_traits(parts[2], parts[0]), parts[1])


def test_the_first_who_is_identified_keeps_the_device() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert links_earlier(late, "b", None, None)
    assert links_earlier(early, "b", late, "a")
    assert not links_earlier(late, "a", early, "b")
    assert links_earlier(early, "a", early, "b")
    assert not links_earlier(early, "b", early, "b")


@pytest.mark.parametrize(
    ("traits", "role"),
    [
        ({"role": " Finance "}, "finance"),
        ({"title": "CISO"}, "security"),
        ({"jobTitle": "Leiterin Einkauf"}, "procurement"),
        ({"title": "Head of IT"}, "it"),
        ({"title": 7}, None),
        ({"title": "Poet"}, None),
        ({}, None),
    ],
)
def test_roles(traits: dict[str, object], role: str | None) -> None:
    assert role_of(traits) == role


def signals(chance: random.Random, count: int) -> list[LoggedSignal]:
    kinds = ["view", "download", "impression", "pricing", "email_open", "identify", "unheard of"]
    return [
        LoggedSignal(
            at=float(chance.randrange(40)) * DAY / 8,
            kind=chance.choice(kinds),
            asset_id=chance.choice([None, "a", "b", "c"]),
            weight=chance.choice([0.0, 1.0, 1.0]),
            asset_type=chance.choice([None, "case_study"]),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_a_state_is_the_same_bits_in_any_order_and_survives_its_bytes(seed: int) -> None:
    chance = random.Random(seed)
    log = signals(chance, 60)
    first = fold_state(log, KINDS, 3 * DAY).to_bytes()
    for _ in range(4):
        chance.shuffle(log)
        assert fold_state(log, KINDS, 3 * DAY).to_bytes() == first
    assert BuyerState.from_bytes(first).to_bytes() == first
    assert fold_state(log, KINDS, 1e9).signal_count == 60
    empty = empty_state()
    assert fold_state([], KINDS, 1e9).to_bytes() == empty.to_bytes()
    assert BuyerState.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()


def test_later_signals_have_not_happened_yet_and_machines_say_nothing() -> None:
    log = [
        LoggedSignal(10.0, "view", "a", 1.0, None),
        LoggedSignal(20.0, "download", "b", 1.0, None),
        LoggedSignal(5.0, "view", "c", 0.0, None),
    ]
    state = fold_state(log, KINDS, 15.0)
    assert (state.profile.asset_ids, state.signal_count) == (("a",), 2)
    assert (state.first_at, state.last_at) == (10.0, 10.0)
    assert state.track.types == ("view_educational",)


def test_impressions_count_until_they_are_answered() -> None:
    def at(*rows: tuple[float, str]) -> BuyerState:
        return fold_state([LoggedSignal(t, kind, "a", 1.0, None) for t, kind in rows], KINDS, 100.0)

    assert at((1, "impression"), (2, "impression")).profile.shown_count.tolist() == [2]
    answered = at((1, "impression"), (2, "click"), (3, "impression")).profile
    assert (answered.shown_ids, answered.shown_count.tolist()) == (("a",), [1])


def test_the_profiles_of_an_account_add_up_in_any_order() -> None:
    chance = random.Random(3)
    profiles = [fold_state(signals(chance, 40), KINDS, 1e9).profile for _ in range(5)]
    merged = merge_profiles(profiles)
    again = merge_profiles(profiles[::-1])
    assert merged is not None
    assert again is not None
    assert merged.asset_ids == again.asset_ids
    assert np.array_equal(merged.weights, again.weights)
    assert np.all(merged.weights <= 8)
    assert np.all(np.diff(merged.last_at) >= 0)
    assert merge_profiles([]) is None
    assert merge_profiles([empty_state().profile]) is None
