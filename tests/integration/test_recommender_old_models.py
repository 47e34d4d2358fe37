"""Vectors of models that serve no more: kept for a while after a promotion, then gone."""

from __future__ import annotations

from recommender_rig import Rig, RigMaker, SwitchableEmbedder


def models(rig: Rig) -> dict[str, int]:
    found = rig.rows("SELECT model_id, count(*) FROM recommender.embeddings GROUP BY 1")
    return {str(model): int(count) for model, count in found}


def change_model(rig: Rig, embedder: SwitchableEmbedder) -> None:
    for name in ("a", "b"):
        rig.put(name)
    rig.parts["reconciler"].step()
    embedder.model = "hashing-256"
    rig.parts["reconciler"].step()
    assert rig.recommend()["meta"]["model_version"] == "hashing-256@1"


def test_the_model_before_is_kept_for_the_time_that_was_set(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    rig = make_recommender(keep_old_vectors_days=7)
    change_model(rig, embedder)
    rig.clock.advance(hours=1)
    rig.parts["reconciler"].step()
    assert models(rig) == {"hashing-384@1": 2, "hashing-256@1": 2}
    with rig.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE recommender.catalogue_head SET promoted_at = now() - interval '8 days'"
        )
    rig.clock.advance(hours=1)
    rig.parts["reconciler"].step()
    assert models(rig) == {"hashing-256@1": 2}
    kept = rig.rows("SELECT DISTINCT model_id FROM recommender.prototype_embeddings")
    assert kept == [("hashing-256@1",)]
    assert rig.shown() == {"a", "b"}


def test_nothing_is_thrown_away_while_a_model_is_on_its_way(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    rig = make_recommender(keep_old_vectors_days=0)
    for name in ("a", "b"):
        rig.put(name)
    embedder.model, embedder.refused = "hashing-256", "Title of b"
    for _ in range(2):
        rig.parts["reconciler"].step()
        rig.clock.advance(hours=1)
    live = rig.recommend()["meta"]["model_version"]
    assert models(rig)[live] == 2 if live == "hashing-384@1" else models(rig)[live] >= 1
    embedder.refused = None
    rig.clock.advance(hours=2)
    rig.parts["reconciler"].step()
    rig.clock.advance(hours=1)
    rig.parts["reconciler"].step()
    assert models(rig) == {"hashing-256@1": 2}
