"""What the census and the canary tell the dashboards, on a real database."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry

from recommender.numeric.candidates import ExactSearch
from recommender.service.canary import recall
from recommender_rig import Rig


def _value(rig: Rig, name: str, **labels: str) -> float:
    registry: CollectorRegistry = rig.app.extensions["metrics"].registry
    found = registry.get_sample_value(f"foreword_recommender_{name}", labels)
    assert found is not None, name
    return found


def _counted(rig: Rig, name: str) -> dict[str, float]:
    stages = ("awareness", "consideration", "decision", "customer", "renewal", "nurture", "unknown")
    return {stage: count for stage in stages if (count := _value(rig, name, stage=stage))}


def _again(rig: Rig) -> None:
    rig.parts["census"]._rest_until = 0.0
    rig.parts["census"].step()


def _signal(user: str, event: str, number: int, **more: object) -> dict[str, object]:
    call = {"type": "track", "event": event, "userId": user, "messageId": f"{user}-{event}-{number}"}
    return {**call, "context": {"groupId": "acme.example"}, **more}


def test_buyers_and_accounts_are_counted_as_they_are_shown(recommender: Rig) -> None:
    recommender.send(
        *(_signal("ann", event, n) for n, event in enumerate(["Demo Requested", "Pricing Viewed"] * 3)),
        {"type": "page", "userId": "bob", "messageId": "b1", "properties": {"url": "https://a.example/blog"}},
    )
    recommender.parts["folder"].fold_stale()
    _again(recommender)
    shown = [
        recommender.client.get("/v1/buyers/ann").get_json()["stage"]["name"],
        recommender.client.get("/v1/buyers/bob").get_json()["stage"]["name"],
    ]
    expected = {stage: float(shown.count(stage)) for stage in set(shown)}
    assert _counted(recommender, "stage_buyers") == expected
    account = recommender.client.get("/v1/accounts/acme.example").get_json()["stage"]["name"]
    assert _counted(recommender, "stage_accounts") == {account: 1.0}


def test_a_change_of_stage_is_a_move(recommender: Rig) -> None:
    recommender.send(_signal("ann", "Content Viewed", 0))
    recommender.parts["folder"].fold_stale()
    _again(recommender)
    before = recommender.client.get("/v1/buyers/ann").get_json()["stage"]["name"]
    recommender.clock.advance(days=1)
    recommender.send(
        *(_signal("ann", event, n) for n in (1, 2) for event in ("Demo Requested", "Pricing Viewed")),
        _signal("ann", "Opportunity Won", 3),
    )
    recommender.parts["folder"].fold_stale()
    _again(recommender)
    after = recommender.client.get("/v1/buyers/ann").get_json()["stage"]["name"]
    assert after != before
    assert _value(recommender, "stage_moves_total", subject="buyer", **{"from": before, "to": after}) == 1
    _again(recommender)
    assert _value(recommender, "stage_moves_total", subject="buyer", **{"from": before, "to": after}) == 1


def test_an_opportunity_is_early_late_or_a_surprise(recommender: Rig) -> None:
    for number in range(6):
        recommender.send(*(_signal("ann", e, number) for e in ("Demo Requested", "Pricing Viewed")))
        recommender.clock.advance(days=10)
    recommender.send(
        _signal("ann", "Opportunity Opened", 1),
        {**_signal("eve", "Opportunity Opened", 1), "context": {"groupId": "surprise.example"}},
    )
    recommender.parts["folder"].fold_stale()
    _again(recommender)
    found = {r: _value(recommender, "opportunities", recognised=r) for r in ("early", "late", "not")}
    assert found == {"early": 1.0, "late": 0.0, "not": 1.0}
    assert _value(recommender, "lead_time_median_seconds") > 0


def test_coverage_is_counted_without_the_database(recommender: Rig) -> None:
    recommender.put("a", stages={"decision": 1.0}, topics=["cold chain"], status="approved")
    _again(recommender)
    assert _value(recommender, "coverage_assets", stage="decision") == 1
    assert _value(recommender, "coverage_cells", by="topic", filled="true") == 1
    assert _value(recommender, "coverage_cells", by="topic", filled="false") == 3


def test_the_canary_finds_what_an_exact_index_finds(recommender: Rig) -> None:
    for number in range(12):
        recommender.put(f"a{number}", title=f"Number {number} of many things", status="approved")
    recommender.parts["canary"].step()
    assert _value(recommender, "index_recall_ratio") == 1.0


def test_a_search_that_misses_half_is_seen() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(200, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    everything = np.ones(len(vectors), dtype=np.bool_)

    class Half:
        def search(self, queries, k, eligible):  # type: ignore[no-untyped-def]
            odd = eligible.copy()
            odd[::2] = False
            return ExactSearch(vectors).search(queries, k, odd)

    assert recall(ExactSearch(vectors), vectors, everything, rng) == 1.0
    found = recall(Half(), vectors, everything, rng)
    assert found is not None
    assert found < 0.8


def test_impressions_and_clicks_count_by_placement(recommender: Rig) -> None:
    seen = {"recommendation_id": "r", "asset_id": "a", "placement": "blog", "channel": "web"}
    one = {
        "type": "track",
        "userId": "ann",
        "event": "Recommendation Viewed",
        "messageId": "v",
        "properties": seen,
    }
    recommender.send(one)
    recommender.send(one)  # sent again by its client
    recommender.send({**one, "event": "Recommendation Clicked", "messageId": "c"})
    assert _value(recommender, "impressions_total", placement="blog", channel="web") == 1
    assert _value(recommender, "clicks_total", placement="blog", channel="web") == 1
