"""A new embedding model: held against the one that serves, promoted when complete, and taken back."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from recommender.commands import group
from recommender_rig import Rig, RigMaker, SwitchableEmbedder

_TOPICS = ("doors", "audits", "energy", "probes", "alarms", "fleets")


def model(rig: Rig, *arguments: str) -> Result:
    url = make_url(rig.engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    return CliRunner().invoke(group, ["model", *arguments, "--database-url", url])


def served(rig: Rig) -> tuple[str, int]:
    """→ (model that an answer names, width of the vectors that it was made with)."""
    answer = rig.recommend(count=3)
    return answer["meta"]["model_version"], rig.parts["replica"].snapshot.catalogue.vectors.shape[1]


def reconcile(rig: Rig) -> None:
    rig.parts["reconciler"].step()


def _fill(rig: Rig, count: int) -> None:
    for n in range(count):
        first, second = _TOPICS[n % 6], _TOPICS[n % 5]
        assert rig.put(f"a{n}", title=f"{first} and {second}, volume {n}").status_code == 201


def test_a_promotion_is_taken_back_by_one_command_and_stays_back(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    one, other = make_recommender(), make_recommender()
    _fill(one, 60)
    assert model(one, "rollback").exit_code == 1, "there is no model before the first"
    embedder.model = "hashing-256"
    reconcile(one)
    assert served(one) == served(other) == ("hashing-256@1", 256)
    told = model(one, "status").output
    assert "hashing-256@1 against hashing-384@1, 60 assets" in told
    assert "index recall 100.0%" in told

    back = model(one, "rollback")
    assert (back.exit_code, back.output.splitlines()[0]) == (
        0,
        "hashing-384@1 serves again; hashing-256@1 is held back.",
    )
    assert served(one) == served(other) == ("hashing-384@1", 384), "with the very next answer"
    for rig in (one, other):  # the embedder still serves the model that was taken back
        reconcile(rig)
        assert served(rig) == ("hashing-384@1", 384)
    assert "held back: hashing-256@1" in model(one, "status").output
    embedder.model = "hashing-384"
    embedder.texts.clear()
    reconcile(one)
    assert [text for text in embedder.texts if text != "model"] == [], "no text is embedded for the way back"

    assert model(one, "promote", "hashing-256@1").exit_code == 0
    assert served(one) == served(other) == ("hashing-256@1", 256)


def test_a_model_that_compares_badly_waits_for_a_person(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    rig = make_recommender()
    _fill(rig, 60)
    embedder.model = "hashing-256"
    alike = np.tile(np.eye(1, 256, dtype="<f4"), (60, 1))
    rows = rig.rows("SELECT asset_id, text_hash FROM recommender.assets")
    with rig.engine.begin() as connection:
        for (asset_id, text_hash), vector in zip(rows, alike, strict=True):
            connection.exec_driver_sql(
                "INSERT INTO recommender.embeddings VALUES (%s, 'hashing-256@1', %s, %s, now())",
                (asset_id, text_hash, vector.tobytes()),
            )
    reconcile(rig)
    assert served(rig) == ("hashing-384@1", 384), "it is complete, and finds everything alike"
    assert "not promoted by itself: its nearest are only 0.000 more alike" in model(rig, "status").output
    assert model(rig, "promote", "hashing-256@1").exit_code == 0
    assert served(rig) == ("hashing-256@1", 256)


def test_a_model_without_all_vectors_is_not_promoted_by_hand_either(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    rig = make_recommender()
    _fill(rig, 3)
    refused = model(rig, "promote", "unheard-of@1")
    assert refused.exit_code == 1
    assert "has vectors of 0 of 3 approved assets" in refused.output
    assert served(rig) == ("hashing-384@1", 384)
