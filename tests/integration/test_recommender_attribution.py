"""Signals and assets in any order, on a real PostgreSQL: the stored state is what a replay gives."""

from __future__ import annotations

from typing import Any

from recommender.domain.identities import Identity
from recommender.service.attribution import Attributor
from recommender.store import buyers as buyer_store
from recommender_rig import Rig


def page(rig: Rig, message_id: str, url: str, user: str = "u") -> None:
    told = {"type": "page", "messageId": message_id, "userId": user, "properties": {"url": url}}
    assert rig.send(told).status_code == 200


def fold(rig: Rig) -> None:
    while rig.parts["folder"].fold_stale():
        pass


def stored_and_replayed(rig: Rig, user: str) -> tuple[bytes, bytes]:
    """The state as it is kept, and as the log gives it now."""
    folder = rig.parts["folder"]
    with rig.engine.connect() as connection:
        row = buyer_store.find_buyer(connection, Identity("user", user), folder.fingerprint)
        assert row is not None
        assert row.state is not None
        return row.state, folder.replay(connection, row.buyer_id, rig.clock.now.timestamp()).to_bytes()


def recent(rig: Rig) -> list[tuple[str, str | None]]:
    return [(one["type"], one["asset_id"]) for one in rig.buyer("u")["recent_signals"]]


def test_a_page_read_before_its_asset_came_is_given_to_it(recommender: Rig) -> None:
    page(recommender, "1", "https://firm.example/guide/")
    page(recommender, "2", "https://firm.example/elsewhere")
    fold(recommender)
    recommender.put("guide", url="https://www.firm.example/guide")
    assert "guide" in recommender.shown(user_id="u")
    recommender.parts["attributor"].step()
    assert "guide" not in recommender.shown(user_id="u"), "it was read"
    assert set(recent(recommender)) == {("view", "guide"), ("page", None)}
    fold(recommender)
    stored, replayed = stored_and_replayed(recommender, "u")
    assert stored == replayed


def test_an_asset_that_moves_to_a_page_takes_its_readers(recommender: Rig) -> None:
    recommender.put("guide", url="https://firm.example/old")
    page(recommender, "1", "https://firm.example/new")
    recommender.parts["attributor"].step()
    assert recent(recommender) == [("page", None)]
    recommender.put("guide", url="https://firm.example/new")
    recommender.parts["attributor"].step()
    assert recent(recommender) == [("view", "guide")]


def test_a_new_type_reaches_the_states_of_those_who_read_it(recommender: Rig) -> None:
    recommender.put("a", type="blog")
    told: dict[str, Any] = {"type": "track", "event": "Content Viewed", "messageId": "m", "userId": "u"}
    recommender.send({**told, "properties": {"asset_id": "a"}})
    recommender.parts["attributor"].step()
    fold(recommender)
    before, replayed = stored_and_replayed(recommender, "u")
    assert before == replayed
    recommender.client.patch("/v1/assets/a", json={"type": "pricing"})
    changed = stored_and_replayed(recommender, "u")
    assert changed[0] != changed[1], "the type matters to the stage"
    recommender.parts["attributor"].step()
    fold(recommender)
    after, replayed = stored_and_replayed(recommender, "u")
    assert after == replayed != before


def test_a_signal_about_an_asset_that_comes_later_learns_its_type(recommender: Rig) -> None:
    told: dict[str, Any] = {"type": "track", "event": "Content Viewed", "messageId": "m", "userId": "u"}
    recommender.send({**told, "properties": {"asset_id": "a"}})
    fold(recommender)
    recommender.put("a", type="pricing")
    recommender.parts["attributor"].step()
    fold(recommender)
    stored, replayed = stored_and_replayed(recommender, "u")
    assert stored == replayed


def test_nothing_is_folded_anew_where_nothing_changed(recommender: Rig) -> None:
    recommender.put("a", url="https://firm.example/a")
    page(recommender, "1", "https://firm.example/a")
    recommender.parts["attributor"].step()
    fold(recommender)
    before = recommender.rows("SELECT buyer_id, version FROM recommender.buyers")
    recommender.client.patch("/v1/assets/a", json={"title": "Another title", "topics": ["GDP"]})
    recommender.parts["attributor"].step()
    assert recommender.rows("SELECT buyer_id, version FROM recommender.buyers") == before


def test_a_restart_and_a_second_look_find_what_was_missed(recommender: Rig) -> None:
    now = [0.0]
    attributor = Attributor(recommender.engine, lambda: now[0])
    recommender.put("a", url="https://firm.example/a")
    attributor.step()
    # A request that looked for the asset before it was there, and committed only after the loop had looked.
    page(recommender, "1", "https://firm.example/a")
    undo = "UPDATE recommender.signals SET asset_id = NULL, kind = 'page', page = 'firm.example/a'"
    with recommender.engine.begin() as connection:
        connection.exec_driver_sql(undo)
    attributor.step()
    assert recent(recommender) == [("page", None)]
    now[0] = 61.0
    attributor.step()
    assert recent(recommender) == [("view", "a")]
    with recommender.engine.begin() as connection:
        connection.exec_driver_sql(undo)
    Attributor(recommender.engine).step()
    assert recent(recommender) == [("view", "a")]
