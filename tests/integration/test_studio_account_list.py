"""The list of accounts behind the studio's page, on a real database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from recommender.store import account_standings as store
from recommender_rig import Rig


def said(user: str, account: str, event: str, number: int = 0, **more: Any) -> dict[str, Any]:
    call = {"type": "track", "event": event, "userId": user, "messageId": f"{user}-{event}-{number}"}
    return {**call, "context": {"groupId": account}, **more}


def count(rig: Rig) -> int:
    while rig.parts["folder"].fold_stale():
        pass
    rig.parts["standings"]._rest_until = 0.0
    return int(rig.parts["standings"].step())


def asked(rig: Rig, **query: Any) -> dict[str, Any]:
    answer = rig.client.get(f"/internal/accounts?{urlencode(query)}")
    assert answer.status_code == 200, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def ids(rig: Rig, **query: Any) -> list[str]:
    return [one["id"] for one in asked(rig, **query)["accounts"]]


@pytest.fixture
def firms(recommender: Rig) -> Rig:
    """Three accounts: one that buys, with two people; one that reads; one called like a trap."""
    recommender.put("a", topics=["GDP"])
    recommender.send(
        {
            "type": "group",
            "groupId": "nord",
            "userId": "ann",
            "messageId": "g1",
            "traits": {"name": "Nordfracht"},
        },
        {
            "type": "group",
            "groupId": "100%",
            "userId": "cyd",
            "messageId": "g2",
            "traits": {"name": "<b>_x%"},
        },
        *(said("ann", "nord", event, n) for n in (1, 2) for event in ("Demo Requested", "Pricing Viewed")),
        said("bob", "nord", "Content Viewed", properties={"asset_id": "a"}),
    )
    recommender.clock.advance(days=1)
    recommender.send(said("dan", "west", "Content Viewed", properties={"asset_id": "a"}))
    assert count(recommender) == 3
    return recommender


def test_the_list_says_what_each_accounts_page_says(firms: Rig) -> None:
    found = asked(firms)
    assert found["total"] == 3
    assert found["more_than_total"] is False
    assert sum(found["by_stage"].values()) == 3
    for one in found["accounts"]:
        account = firms.client.get(f"/v1/accounts/{one['id'].replace('%', '%25')}").get_json()
        assert one["stage"]["name"] == account["stage"]["name"]
        assert one["people"] == len(account["buying_group"])
        assert one["signals"] == account["signal_count"]
        assert one["last_seen_at"] == account["last_seen_at"]
        assert one["surging_topics"] == [t["topic"] for t in account["surging_topics"]]


def test_it_is_searched_filtered_and_sorted_both_ways(firms: Rig) -> None:
    assert ids(firms, q="FRACHT") == ["nord"]
    assert ids(firms, q="%") == ["100%"]  # what means something to the database is a letter to people
    assert ids(firms, q="nobody") == []
    assert ids(firms)[0] == "west"
    assert ids(firms, sort="people")[0] == "nord"
    assert ids(firms, sort="stage")[0] == "nord"
    assert ids(firms, sort="name", order="asc") == ["100%", "nord", "west"]
    stage = asked(firms, q="nord")["accounts"][0]["stage"]["name"]
    assert ids(firms, stage=stage) == ["nord"]
    assert ids(firms, surging="true") == []


def test_pages_hold_every_account_once_in_one_order(firms: Rig) -> None:
    for sort in ("last", "people", "stage", "surging", "name"):
        for order in ("asc", "desc"):
            whole = ids(firms, sort=sort, order=order)
            pages, token = [], ""
            while token is not None:
                found = asked(firms, sort=sort, order=order, page_size=1, page_token=token)
                pages += [one["id"] for one in found["accounts"]]
                token = found["next_page_token"]
            assert pages == whole, (sort, order)
    every_order_is_read_from_an_index(firms)
    what_makes_no_sense_is_refused(firms)


def test_news_silence_and_erasure_are_counted(firms: Rig) -> None:
    firms.clock.advance(minutes=1)
    assert count(firms) == 3  # once more, as a fold may be committed after the moment that it bears
    assert count(firms) == 0
    firms.send(said("eve", "west", "Content Viewed", 2, properties={"asset_id": "a"}))
    assert count(firms) == 1
    assert asked(firms, q="west")["accounts"][0]["people"] == 2
    assert firms.client.post("/v1/buyers/eve:erase").status_code == 200
    firms.clock.advance(minutes=1)
    assert count(firms) == 1
    assert asked(firms, q="west")["accounts"][0]["people"] == 1
    firms.clock.advance(days=1)
    assert count(firms) == 3


def what_makes_no_sense_is_refused(firms: Rig) -> None:
    for query, status in (
        ("sort=money", 422),
        ("stage=lost", 422),
        ("page_size=101", 422),
        ("page_token=x", 400),
        ("sort=people&page_token=WyJ4IiwxXQ", 400),  # ["x", 1]
        ("page_token=WyI1IiwxXQ", 400),  # ["5", 1] is no moment
    ):
        assert firms.client.get(f"/internal/accounts?{query}").status_code == status, query


def every_order_is_read_from_an_index(firms: Rig) -> None:
    with firms.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
        for column, _ in store._SORTS.values():
            plan = connection.exec_driver_sql(
                f"EXPLAIN SELECT * FROM recommender.account_standings s "
                f"ORDER BY {column}, s.account_id LIMIT 9"
            ).all()
            assert "Index Scan" in str(plan), (column, plan)


def test_a_list_that_takes_too_long_is_given_up_in_words(firms: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(connection: sa.Connection) -> dict[str, int]:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
        return {}

    monkeypatch.setattr(store, "count_by_stage", slowly)
    monkeypatch.setattr(store, "_TIME_FOR_A_LIST", "50ms")
    answer = firms.client.get("/internal/accounts")
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "list_took_too_long"


def test_a_buyers_signals_tell_their_effect_on_the_stage(firms: Rig) -> None:
    for week in range(12):
        firms.clock.advance(days=7)
        firms.send(said("ann", "nord", "Pricing Viewed", 10 + week))
    count(firms)
    buyer = firms.client.get("/v1/buyers/ann").get_json()
    [told] = [e for e in buyer["stage"]["evidence"] if e["signal"] == "view_pricing"]
    views = [s for s in buyer["recent_signals"] if s["type"] == "pricing"]
    assert told["text"].startswith(f"Viewed pricing {len(views)} times, the last today:")
    assert len(views) >= 12
    assert told["at"] == views[0]["at"]
    assert told["effect"] == pytest.approx(sum(s["effect"] or 0.0 for s in views), abs=1e-4)
    assert all(
        s["effect"] > 0
        for s in buyer["recent_signals"]
        if s["type"] == "demo_request" and s["effect"] is not None
    )
