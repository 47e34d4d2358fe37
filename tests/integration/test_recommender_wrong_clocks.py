"""Signals dated ahead, by a gateway or a device whose clock is fast: not counted yet, and not forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from recommender.store.embeddings import claim_pending
from recommender_rig import NOON, Rig, SettableClock, SwitchableEmbedder

_AHEAD = timedelta(hours=1)


def _send_from_a_fast_gateway(rig: Rig) -> None:
    event = {
        "event": "Asset Downloaded",
        "userId": "u",
        "messageId": "early",
        "properties": {"asset_id": "a"},
    }
    received = {"X_Received_At": (NOON + _AHEAD).isoformat()}
    assert rig.send(event, call="track", **received).status_code == 200


def _kept(rig: Rig) -> Any:
    ((state,),) = rig.rows("SELECT state FROM recommender.profiles")
    return orjson.loads(bytes(state))


@pytest.fixture
def early(recommender: Rig) -> Rig:
    recommender.put("a")
    _send_from_a_fast_gateway(recommender)
    recommender.parts["folder"].fold_stale()
    assert _kept(recommender)["count"] == 0, "it has not happened yet"
    assert recommender.parts["folder"].fold_stale() == 0, "and is not looked at again and again"
    return recommender


def test_the_loop_folds_it_once_its_time_has_come(early: Rig, clock: SettableClock) -> None:
    clock.advance(hours=2)
    assert early.parts["folder"].fold_stale() == 1
    assert _kept(early)["ids"] == ["a"]
    assert early.parts["folder"].fold_stale() == 0


def test_the_next_answer_counts_it_once_its_time_has_come(early: Rig, clock: SettableClock) -> None:
    assert early.buyer("u")["signal_count"] == 0
    clock.advance(hours=2)
    assert early.buyer("u")["signal_count"] == 1
    assert _kept(early)["ids"] == ["a"]


def test_a_replica_whose_clock_was_slow_leaves_no_profile_behind(
    recommender: Rig, clock: SettableClock
) -> None:
    recommender.put("a")
    clock.advance(hours=-3)
    _send_from_a_fast_gateway(recommender)
    recommender.parts["folder"].fold_stale()
    clock.now = NOON + timedelta(minutes=61)
    recommender.parts["folder"].fold_stale()
    assert _kept(recommender)["count"] == 1


def test_work_that_a_fast_clock_put_off_for_a_day_is_taken_up(
    recommender: Rig, embedder: SwitchableEmbedder, clock: SettableClock
) -> None:
    embedder.away = True
    recommender.put("b")
    clock.advance(hours=26)
    with recommender.engine.begin() as connection:
        assert len(claim_pending(connection, "hashing-384@1", 10, clock.now)) == 1, "and then it died"
    clock.now = NOON
    embedder.away = False
    recommender.parts["reconciler"].step()
    assert recommender.rows("SELECT asset_id FROM recommender.embeddings") == [("b",)]
