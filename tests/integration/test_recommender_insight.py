"""An asset's figures and coverage with demand, on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from contract.insight import AssetInsight, CoverageOutput
from recommender.store import time_limits
from recommender_rig import Rig, SettableClock, code


def act(rig: Rig, user: str, event: str, asset_id: str, number: int = 0, **more: Any) -> None:
    named = {"type": "track", "event": event, "messageId": f"{user}{event}{asset_id}{number}", "userId": user}
    answer = rig.send({**named, "properties": {"asset_id": asset_id}, **more})
    assert answer.status_code == 200, answer.text


def settle(rig: Rig) -> None:
    rig.parts["answers_log"].flush()
    while rig.parts["folder"].fold_stale():
        pass


def insight(rig: Rig, asset_id: str, query: str = "") -> dict[str, Any]:
    settle(rig)
    answer = rig.client.get(f"/v1/assets/{asset_id}/insight{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    AssetInsight.model_validate(answer.json)
    return answer.json


def coverage(rig: Rig, query: str = "") -> dict[str, Any]:
    settle(rig)
    answer = rig.client.get(f"/v1/coverage{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    CoverageOutput.model_validate(answer.json)
    return answer.json


def test_an_assets_figures(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("a", topics=["GDP"])
    recommender.put("b", topics=["Audit"])
    for user, account in (("u", "acme"), ("v", "acme"), ("w", "bakery")):
        recommender.send(
            {"type": "identify", "messageId": user, "userId": user, "context": {"groupId": account}}
        )
        recommender.recommend(user_id=user, placement="sidebar")
        act(recommender, user, "Recommendation Viewed", "a")
    recommender.recommend(placement="footer")
    act(recommender, "u", "Recommendation Clicked", "a")
    act(recommender, "u", "Recommendation Viewed", "a", 1, context={"userAgent": "Googlebot/2.1"})
    found = insight(recommender, "a")
    assert (found["recommended"], found["buyers"], found["accounts"]) == (4, 3, 2)
    assert (found["impressions"], found["clicks"], found["click_rate"]) == (3, 1, 0.3333)
    assert (found["engaged_buyers"], found["engaged_accounts"], found["never_shown"]) == (1, 1, False)
    assert found["by_placement"] == {"sidebar": 3, "footer": 1}
    assert sum(found["by_tier"].values()) == 4
    assert found["shown_to"] is None
    assert [one["id"] for one in found["similar"]] == ["b"]
    people = insight(recommender, "a", "?people=true")["shown_to"]
    assert {(one["user_id"], one["account_id"]) for one in people} == {
        ("u", "acme"),
        ("v", "acme"),
        ("w", "bakery"),
        (None, None),
    }
    clock.advance(days=10)
    assert insight(recommender, "a", "?days=5")["recommended"] == 0
    assert insight(recommender, "a", "?days=5")["never_shown"] is True
    assert code(recommender.client.get("/v1/assets/nobody/insight")) == (404, "asset_not_found")
    assert code(recommender.client.get("/v1/assets/a/insight?days=0")) == (422, "fields_invalid")


def test_stage_moves_after_an_asset(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("a", type="blog")
    for number in range(3):
        act(recommender, "mover", "Content Viewed", "a", number)
        act(recommender, "stayer", "Content Viewed", "a", number)
        clock.advance(days=1)
    for number in range(8):
        for event in ("Pricing Viewed", "Demo Requested"):
            recommender.send(
                {"type": "track", "event": event, "messageId": f"{event}{number}", "userId": "mover"}
            )
        clock.advance(days=1)
    found = insight(recommender, "a")
    assert found["moves_of"] == 2
    assert sum(move["buyers"] for move in found["moves"]) == 2
    assert found["stage_moves"] == 1, found["moves"]
    [forward] = [m for m in found["moves"] if m["to_stage"] in {"consideration", "decision"}]
    assert forward["buyers"] == 1


def test_unmet_demand_is_counted_by_account(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("it-paper", topics=["GDP"], personas=["it"], stages={"awareness": 1})
    recommender.put("hidden", topics=["Audit"], personas=["finance"], status="draft")
    clock.advance(days=1)
    for user, account, title in (
        ("u", "acme", "CFO"),
        ("v", "acme", "Head of Finance"),
        ("w", "bakery", "CFO"),
        ("x", "bakery", "CTO"),
    ):
        recommender.send(
            {
                "type": "identify",
                "messageId": user,
                "userId": user,
                "traits": {"title": title},
                "context": {"groupId": account},
            }
        )
        act(recommender, user, "Content Viewed", "hidden")
        recommender.recommend(user_id=user, count=1)
    recommender.recommend(context={"asset_id": "it-paper"}, count=1)
    found = coverage(recommender)
    assert (found["assets"], found["answers"], found["fallback_answers"]) == (1, 5, 1)
    assert found["weak_answers"] >= 4
    asked = {(c["by"], c["value"]): 0 for c in found["cells"]}
    for cell in found["cells"]:
        asked[cell["by"], cell["value"]] += cell["unmet_accounts"]
    assert asked["persona", "finance"] == 2
    finance = [c for c in found["gaps"] if c["value"] == "finance" and c["unmet_accounts"]]
    assert [(c["assets"], c["unmet_buyers"], c["unmet_answers"]) for c in finance] == [(0, 3, 3)]
    assert found["gaps"][0]["unmet_accounts"] == max(c["unmet_accounts"] for c in found["gaps"])
    need = next(n for n in found["unmet"] if n["persona"] == "finance")
    assert (need["assets"], need["unmet_accounts"], need["topic"]) == (0, 2, "Audit")
    assert found["fallback_topics"] == [{"topic": "GDP", "answers": 1}]
    clock.advance(days=40)
    later = coverage(recommender)
    assert later["answers"] == 0
    assert all(cell["unmet_accounts"] == 0 for cell in later["cells"])
    assert coverage(recommender, "?days=60")["answers"] == 5


def test_old_and_never_shown_assets_are_listed(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("old", publish_at="2024-01-01T00:00:00Z")
    recommender.put("new")
    recommender.put("draft", status="draft", publish_at="2024-01-01T00:00:00Z")
    first = coverage(recommender)
    assert {one["id"] for one in first["never_shown"]} == {"old", "new"}
    assert ([one["id"] for one in first["old"]], first["old_count"]) == (["old"], 1)
    recommender.recommend(count=1)
    shown = coverage(recommender)
    assert shown["never_shown_count"] == len(shown["never_shown"]) == 1
    assert code(recommender.client.get("/v1/coverage?days=x")) == (422, "fields_invalid")


@pytest.mark.parametrize("path", ["/v1/coverage", "/v1/assets/a/insight"])
def test_figures_that_take_too_long_are_given_up(
    recommender: Rig, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    recommender.put("a")
    monkeypatch.setattr(time_limits, "FIGURES_SECONDS", 0.2)
    with recommender.engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE recommender.recommendation_log IN ACCESS EXCLUSIVE MODE")
        answer = recommender.client.get(path)
    assert code(answer) == (503, "took_too_long")
    assert recommender.client.get(path).status_code == 200
