"""The log of what was recommended, on a real PostgreSQL: every answer once, and nobody's for ever."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from recommender.service import recommendation_log
from recommender_rig import Rig, SettableClock


def log(rig: Rig, columns: str) -> list[tuple[Any, ...]]:
    rig.parts["answers_log"].flush()
    return rig.rows(f"SELECT {columns} FROM recommender.recommendation_log ORDER BY at, recommendation_id")


def identify(rig: Rig, user: str, **more: Any) -> None:
    rig.send({"type": "identify", "messageId": f"i-{user}", "userId": user, **more})


def test_an_answer_is_remembered_with_all_that_it_was_made_of(recommender: Rig) -> None:
    for n in range(3):
        recommender.put(f"a{n}", topics=["GDP"], personas=["finance"])
    identify(recommender, "u", traits={"title": "CFO"}, context={"groupId": "acme"})
    read = {"type": "track", "event": "Content Viewed", "messageId": "m", "userId": "u"}
    recommender.send({**read, "properties": {"asset_id": "a0"}})
    asked = {"placement": "sidebar", "channel": "mobile", "count": 2, "goal": "nurture"}
    answer = recommender.recommend(user_id="u", **asked)
    [row] = log(
        recommender,
        "recommendation_id, placement, channel, goal, tier, degraded, ranking, persona, topics, asked, "
        "asset_ids, weak, at, stage IS NOT NULL",
    )
    shown = [item["id"] for item in answer["items"]]
    assert row[0] == answer["recommendation_id"]
    assert row[1:9] == ("sidebar", "mobile", "nurture", "personal", False, row[6], "finance", ["GDP"])
    assert row[6].count("@") == 1
    assert row[9:11] == (2, shown)
    assert set(row[11]) <= {"stage"}
    assert row[13] is True
    [(identity, account)] = log(recommender, "identity_id, account_id")
    assert recommender.rows(
        "SELECT external_id FROM recommender.identities WHERE identity_id = %s", identity
    ) == [("u",)]
    assert recommender.rows(
        "SELECT external_id FROM recommender.accounts WHERE account_id = %s", account
    ) == [("acme",)]


def test_nothing_that_no_buyer_sees_is_remembered(recommender: Rig) -> None:
    recommender.put("a")
    recommender.recommend(user_id="u", as_of="2026-05-01T00:00:00Z")
    recommender.client.post("/v1/explain", json={"user_id": "u", "asset_id": "a"})
    recommender.client.post("/v1/placements:preview", json={"rules": {}, "request": {"user_id": "u"}})
    recommender.client.post("/v1/assets:preview", json={"title": "T", "url": "https://firm.example/t"})
    recommender.client.post("/v1/recommendations", json={"user_id": "u"}, headers={"X-Purpose": "preview"})
    assert log(recommender, "1") == []
    recommender.client.post(
        "/v1/recommendations:batch", data=b'{"user_id": "u"}\n{"user_id": "v"}'
    ).get_data()
    assert len(log(recommender, "1")) == 2


def test_the_propensity_is_the_share_of_times_that_the_asset_stood_there(recommender: Rig) -> None:
    for n in range(12):
        recommender.put(f"a{n}", title=f"Asset number {n} about something of its own {n * 7919}")
    shown: Counter[str] = Counter()
    chances: dict[str, float] = {}
    times = 300
    lines = b"\n".join([b'{"count": 5, "explain": "none"}'] * times)
    recommender.client.post("/v1/recommendations:batch", data=lines).get_data()
    for asset_ids, rank, propensity in log(recommender, "asset_ids, chance_rank, propensity"):
        assert (rank, len(asset_ids)) == (5, 5)
        assert 0 < propensity < 1
        shown[asset_ids[rank - 1]] += 1
        chances[asset_ids[rank - 1]] = propensity
    assert len(shown) > 1
    for asset_id, count in shown.items():
        spread = 4 * (chances[asset_id] * (1 - chances[asset_id]) / times) ** 0.5
        assert count / times == pytest.approx(chances[asset_id], abs=spread + 1 / times)


def test_signals_quote_what_was_shown(recommender: Rig) -> None:
    for n in range(3):
        recommender.put(f"a{n}")
    answer = recommender.recommend(user_id="u", count=2)
    clicked = answer["items"][1]["id"]
    properties = {"recommendation_id": answer["recommendation_id"], "asset_id": clicked}
    recommender.send(
        {
            "type": "track",
            "event": "Recommendation Clicked",
            "messageId": "c",
            "userId": "u",
            "properties": properties,
        }
    )
    recommender.parts["answers_log"].flush()
    found = recommender.rows(
        "SELECT array_position(l.asset_ids, s.asset_id), l.propensity IS NULL OR l.chance_rank <> "
        "array_position(l.asset_ids, s.asset_id) OR l.propensity > 0 FROM recommender.signals s "
        "JOIN recommender.recommendation_log l "
        "ON l.recommendation_id = s.event->'properties'->>'recommendation_id' "
        "WHERE s.kind = 'click'"
    )
    assert found == [(2, True)]


def test_an_erased_buyer_leaves_no_row_not_even_one_that_was_waiting(recommender: Rig) -> None:
    recommender.put("a", topics=["GDP"])
    for user in ("gone", "stays"):
        identify(recommender, user, traits={"title": "CFO"})
        recommender.recommend(user_id=user)
    assert len(log(recommender, "1")) == 2
    recommender.recommend(user_id="gone", context={"asset_id": "a"})
    assert recommender.client.post("/v1/buyers/gone:erase").status_code == 200
    rows = log(recommender, "identity_id, persona, topics")
    assert len(rows) == 2
    assert [row for row in rows if row[0] is None] == [(None, None, [])]


def test_who_opted_out_is_nobody_in_the_log(recommender: Rig) -> None:
    recommender.put("a")
    recommender.send(
        {"type": "identify", "messageId": "i", "userId": "u", "traits": {"title": "CFO"}, "groupId": "acme"},
        Sec_GPC="1",
    )
    recommender.recommend(user_id="u")
    assert log(recommender, "identity_id, account_id, stage, persona, topics") == [
        (None, None, None, None, [])
    ]


def test_what_cannot_be_written_waits_and_a_full_queue_loses_and_counts(
    recommender: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender.put("a")
    answers = recommender.parts["answers_log"]
    monkeypatch.setattr(recommendation_log, "MOST_WAITING", 2)
    first = [recommender.recommend()["recommendation_id"] for _ in range(3)][:2]
    with monkeypatch.context() as broken:
        broken.setattr(recommendation_log.store, "append", _fail)
        with pytest.raises(sa.exc.SQLAlchemyError):
            answers.flush()
    assert {row[0] for row in log(recommender, "recommendation_id")} == set(first)


def _fail(*_: object) -> None:
    raise sa.exc.OperationalError("COPY", {}, Exception("away"))


def test_months_have_their_partitions(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("a")
    for _ in range(2):
        recommender.recommend()
        clock.advance(days=31)
    assert [row[0] for row in log(recommender, "tableoid::regclass::text")] == [
        "recommender.recommendation_log_y2026m06",
        "recommender.recommendation_log_y2026m07",
    ]


def test_weak_answers_say_why(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("a", topics=["GDP"], personas=["it"], stages={"awareness": 1})
    recommender.put("b", topics=["Audit"], personas=["it"], stages={"awareness": 1})
    recommender.recommend(count=3)
    clock.advance(seconds=1)
    identify(recommender, "u", traits={"title": "CFO"})
    read = {"type": "track", "event": "Content Viewed", "messageId": "m", "userId": "u"}
    recommender.send({**read, "properties": {"asset_id": "a"}})
    recommender.recommend(user_id="u", count=1)
    [first, second] = [set(row[0]) for row in log(recommender, "weak")]
    assert first == {"fallback", "short"}
    assert {"persona", "topic"} <= second
    assert not {"fallback", "short"} & second
