"""What the census and the canary tell the dashboards, on a real database."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry

from recommender.numeric.candidates import ExactSearch
from recommender.service.canary import recall
from recommender.store import census as store
from recommender_rig import Rig, RigMaker


def _value(rig: Rig, name: str, **labels: str) -> float:
    registry: CollectorRegistry = rig.app.extensions["metrics"].registry
    found = registry.get_sample_value(f"foreword_recommender_{name}", labels)
    assert found is not None, name
    return found


def _counted(rig: Rig, name: str) -> dict[str, float]:
    stages = ("awareness", "consideration", "decision", "customer", "renewal", "nurture", "unknown")
    return {stage: count for stage in stages if (count := _value(rig, name, stage=stage))}


def _again(*rigs: Rig) -> None:
    """The next count is due, and whoever comes first makes it."""
    rigs[0].clock.advance(hours=1)
    for rig in rigs:
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


def _move_on(rig: Rig) -> tuple[str, str]:
    """Ann is counted, buys, and is counted again. → the stages that she was and is shown at."""
    rig.send(_signal("ann", "Content Viewed", 0))
    rig.parts["folder"].fold_stale()
    _again(rig)
    before = rig.client.get("/v1/buyers/ann").get_json()["stage"]["name"]
    rig.clock.advance(days=1)
    rig.send(
        *(_signal("ann", event, n) for n in (1, 2) for event in ("Demo Requested", "Pricing Viewed")),
        _signal("ann", "Opportunity Won", 3),
    )
    rig.parts["folder"].fold_stale()
    return before, "customer"


def _moved(rig: Rig, subject: str, before: str, after: str) -> float:
    return _value(rig, "stage_moves_total", subject=subject, **{"from": before, "to": after})


def test_a_change_of_stage_is_a_move(recommender: Rig) -> None:
    before, after = _move_on(recommender)
    _again(recommender)
    assert recommender.client.get("/v1/buyers/ann").get_json()["stage"]["name"] == after != before
    assert _moved(recommender, "buyer", before, after) == 1
    assert _moved(recommender, "account", before, after) == 1
    _again(recommender)
    assert _moved(recommender, "buyer", before, after) == 1


def test_replicas_and_restarts_neither_double_nor_lose_a_move(make_recommender: RigMaker) -> None:
    first = make_recommender()
    second = make_recommender()
    second.clock.now = first.clock.now
    before, after = _move_on(first)
    second.clock.now = first.clock.now
    # The second replica finds it, though it has not seen where she was; the first shows it too.
    _again(second, first)
    assert [_moved(rig, "buyer", before, after) for rig in (first, second)] == [1, 1]
    assert _counted(first, "stage_buyers") == _counted(second, "stage_buyers") == {after: 1.0}
    started = make_recommender()
    name = "foreword_recommender_stage_moves_total"
    labels = {"subject": "buyer", "from": before, "to": after}
    registry: CollectorRegistry = started.app.extensions["metrics"].registry
    assert registry.get_sample_value(name, labels) is None, "no 0 that would look like a reset"
    started.parts["census"].step()
    assert registry.get_sample_value(name, labels) == 1


def test_who_is_counted_elsewhere_is_not_counted_here(recommender: Rig) -> None:
    with store.alone(recommender.engine) as mine:
        assert mine
        recommender.parts["census"].step()
        assert recommender.rows("SELECT 1 FROM recommender.census") == []
    recommender.parts["census"].step()
    assert len(recommender.rows("SELECT 1 FROM recommender.census")) == 1


def test_what_a_buyer_was_counted_at_goes_with_the_buyer(recommender: Rig) -> None:
    before, _ = _move_on(recommender)
    assert recommender.rows("SELECT stage FROM recommender.buyer_stages") == [(before,)]
    recommender.client.post("/v1/buyers/ann:erase")
    assert recommender.rows("SELECT stage FROM recommender.buyer_stages") == []
    _again(recommender)
    assert _counted(recommender, "stage_buyers") == {}


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
