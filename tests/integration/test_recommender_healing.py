"""What heals by itself: missing embeddings, refused texts, a new model, writers and replicas at once."""

from __future__ import annotations

import importlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from recommender_rig import Rig, RigMaker, SettableClock, SwitchableEmbedder, code
from servicekit.errors import UpstreamUnavailable


def state(rig: Rig, asset_id: str) -> tuple[str | None, str]:
    answer = rig.get(asset_id).json
    assert answer is not None
    return answer["embedding"]["model"], answer["embedding"]["state"]


def reconcile(rig: Rig) -> None:
    rig.parts["reconciler"].step()


def served(rig: Rig) -> dict[str, int]:
    """Length of the vector that each asset is served with; 0 without one."""
    rig.shown()
    catalogue = rig.parts["replica"].snapshot.catalogue
    width = catalogue.vectors.shape[1]
    return {a: width if catalogue.has_vector[row] else 0 for a, row in catalogue.row_of.items()}


def test_an_upload_while_the_embedder_is_away_is_stored_and_heals(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    embedder.away = True
    stored = recommender.put("a")
    assert stored.status_code == 201
    assert stored.headers["ETag"].endswith('.pending"')
    assert state(recommender, "a") == (None, "pending")
    assert recommender.shown() == {"a"}
    with pytest.raises(UpstreamUnavailable):
        reconcile(recommender)
    embedder.away = False
    reconcile(recommender)
    assert state(recommender, "a") == ("hashing-384@1", "ready")
    assert served(recommender) == {"a": 384}
    assert recommender.get("a").json["revision"] == stored.json["revision"]  # type: ignore[index]


def test_stages_are_read_from_text_once_the_embedder_is_back(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    first = make_recommender()
    first.put("a", title="Request a quote: prices and contract terms for buyers")
    with first.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM recommender.prototype_embeddings")
    embedder.away = True
    late = make_recommender()
    assert not late.parts["replica"].snapshot.stages_read_text
    assert late.shown() == {"a"}
    embedder.away = False
    reconcile(late)
    assert late.parts["replica"].snapshot.stages_read_text
    assert late.shown() == {"a"}


def test_one_refused_text_waits_while_the_others_are_embedded(
    recommender: Rig, embedder: SwitchableEmbedder, clock: SettableClock
) -> None:
    embedder.away = True
    for n in range(5):
        recommender.put(f"a{n}", title=f"Title {n}" + (" poison" if n == 2 else ""))
    embedder.away, embedder.refused = False, "poison"
    reconcile(recommender)
    assert served(recommender) == {"a0": 384, "a1": 384, "a2": 0, "a3": 384, "a4": 384}
    waiting = "SELECT embedding_failures, embedding_retry_at FROM recommender.assets WHERE asset_id = 'a2'"
    failures, retry_at = recommender.rows(waiting)[0]
    assert failures == 1
    assert retry_at > clock.now
    embedder.refused = None
    embedder.texts.clear()
    reconcile(recommender)
    assert not any("poison" in text for text in embedder.texts)
    clock.advance(seconds=5)
    reconcile(recommender)
    assert served(recommender)["a2"] == 384


def test_a_change_of_model_is_promoted_only_when_complete_and_never_mixed(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    one, other = make_recommender(), make_recommender()
    for n in range(4):
        one.put(f"a{n}")
    one.put("draft", status="draft")
    assert set(served(other).values()) == {384}
    embedder.model, embedder.refused = "hashing-256", "a3"
    one.put("new")
    assert served(one) == {**{f"a{n}": 384 for n in range(4)}, "draft": 384, "new": 0}
    embedder.refused = None
    live = "SELECT live_model FROM recommender.catalogue_head"
    seen: list[str] = []
    embedder.before_answer = lambda: seen.append(one.rows(live)[0][0])
    reconcile(one)
    embedder.before_answer = None
    # The last call of all is for the new model's prototypes, when it is live already.
    assert set(seen[:-1]) == {"hashing-384@1"}
    assert one.rows(live) == [("hashing-256@1",)]
    for rig in (one, other):
        assert served(rig) == {**{f"a{n}": 256 for n in range(4)}, "draft": 256, "new": 256}
        assert rig.recommend()["meta"]["model_version"] == "hashing-256@1"
    embedder.texts.clear()
    reconcile(other)
    assert [text for text in embedder.texts if text != "model"] == []


def test_a_replica_does_not_go_back_to_the_model_of_an_older_picture(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    recommender.put("a")
    replica = recommender.parts["replica"]
    with recommender.engine.connect() as connection:
        old = connection.execution_options(isolation_level="REPEATABLE READ")
        old.execute(sa.text("SELECT revision FROM recommender.catalogue_head"))
        embedder.model = "hashing-256"
        reconcile(recommender)
        newest = replica.snapshot
        assert newest.catalogue.model_id == "hashing-256@1"
        assert replica.catch_up(old) is newest


def test_a_model_that_changes_in_the_middle_ends_the_step(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    embedder.away = True
    for n in range(3):
        recommender.put(f"a{n}")
    embedder.away = False

    def switch() -> None:
        embedder.model = "hashing-256"

    embedder.before_answer = switch
    worker = threading.Thread(target=reconcile, args=(recommender,), daemon=True)
    worker.start()
    worker.join(20)
    assert not worker.is_alive()
    embedder.before_answer = None
    reconcile(recommender)
    assert set(served(recommender).values()) == {256}


def test_writers_do_not_wait_for_a_reconcile_that_is_encoding(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    embedder.away = True
    for n in range(3):
        recommender.put(f"a{n}")
    embedder.away = False
    encoding, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def hold() -> None:
        calls.append(1)
        if len(calls) == 2:  # the first asks which model it is
            encoding.set()
            go_on.wait(20)

    embedder.before_answer = hold
    worker = threading.Thread(target=reconcile, args=(recommender,), daemon=True)
    worker.start()
    assert encoding.wait(10)
    started = time.monotonic()
    changed = recommender.put("a1", title="Another text meanwhile")
    assert changed.status_code == 200
    assert recommender.client.delete("/v1/assets/a2").status_code == 204
    assert time.monotonic() - started < 5
    go_on.set()
    worker.join(20)
    embedder.before_answer = None
    # The vector of the old text must not stand for the new one, and what was deleted stays away.
    assert served(recommender) == {"a0": 384, "a1": 384}
    kept = recommender.rows(
        "SELECT count(*) FROM recommender.assets a JOIN recommender.embeddings e USING (asset_id, text_hash)"
    )
    assert kept == [(2,)]


def test_what_is_settled_is_left_alone_and_looked_at_again_after_a_while(
    recommender: Rig, clock: SettableClock
) -> None:
    for asset_id in ("a", "b"):
        recommender.put(asset_id)
    reconcile(recommender)
    with recommender.engine.begin() as connection:  # by hand: the catalogue's head does not move
        connection.exec_driver_sql("DELETE FROM recommender.embeddings WHERE asset_id = 'a'")
    recommender.put("c")
    reconcile(recommender)
    assert vectors_of(recommender) == ["b", "c"]
    clock.advance(minutes=6)
    reconcile(recommender)
    assert vectors_of(recommender) == ["a", "b", "c"]


def vectors_of(rig: Rig) -> list[str]:
    return [row[0] for row in rig.rows("SELECT asset_id FROM recommender.embeddings ORDER BY asset_id")]


def test_work_left_by_a_replica_that_died_is_taken_up(
    make_recommender: RigMaker, embedder: SwitchableEmbedder, clock: SettableClock
) -> None:
    from recommender.store.embeddings import claim_pending

    one = make_recommender()
    embedder.away = True
    one.put("a")
    embedder.away = False
    with one.engine.begin() as connection:
        assert len(claim_pending(connection, "hashing-384@1", 10, clock())) == 1
    reconcile(one)
    assert state(one, "a") == (None, "pending")
    clock.advance(minutes=3)
    reconcile(one)
    assert state(one, "a") == ("hashing-384@1", "ready")


def test_two_replicas_reconcile_at_once_and_embed_nothing_twice(
    make_recommender: RigMaker, embedder: SwitchableEmbedder
) -> None:
    rigs = [make_recommender(), make_recommender()]
    embedder.away = True
    lines = "".join(f'{{"id":"a{n}","title":"Text {n}","url":"https://x.example/{n}"}}\n' for n in range(200))
    rigs[0].client.post("/v1/assets:import", data=lines).get_data()
    embedder.away = False
    embedder.texts.clear()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(reconcile, rigs))
    ours = [text for text in embedder.texts if text.startswith("Text")]
    assert len(ours) == len(set(ours)) == 200
    assert served(rigs[0]) == served(rigs[1]) == {f"a{n}": 384 for n in range(200)}


def test_concurrent_writers_lose_nothing_and_revisions_are_seen_in_order(
    make_recommender: RigMaker,
) -> None:
    rigs = [make_recommender(), make_recommender()]
    stop = threading.Event()
    seen: list[int] = []
    faults: list[str] = []

    def follow() -> None:
        follower = rigs[1].parts["replica"]
        while not stop.is_set():
            seen.append(follower.catch_up().catalogue.revision)

    def write(worker: int) -> None:
        rig = rigs[worker % 2]
        for n in range(6):
            answer = rig.put(f"w{worker}-{n}")
            if answer.status_code != 201:
                faults.append(answer.text)
            if n % 3 == 2 and rig.client.delete(f"/v1/assets/w{worker}-{n}").status_code != 204:
                faults.append("delete")

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    stop.set()
    watcher.join(10)
    assert faults == []
    assert seen == sorted(seen)
    expected = {f"w{w}-{n}" for w in range(6) for n in range(6) if n % 3 != 2}
    for rig in rigs:
        rig.shown()
        assert set(rig.parts["replica"].snapshot.catalogue.row_of) == expected
    changes = rigs[0].rows("SELECT change FROM recommender.assets ORDER BY change")
    assert len(set(changes)) == len(changes) == 36


def test_two_patches_at_once_both_take_effect(recommender: Rig) -> None:
    recommender.put("a")
    fields = ({"summary": "S"}, {"topics": ["T"]}, {"personas": ["P"]}, {"type": "ebook"})

    def change(body: Any) -> int:
        return recommender.client.patch("/v1/assets/a", json=body).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(change, fields)) == [200] * 4
    found = recommender.get("a").json
    assert found is not None
    assert (found["summary"], found["topics"], found["personas"], found["type"]) == (
        "S",
        ["T"],
        ["P"],
        "ebook",
    )


def test_of_two_writers_who_both_expect_nothing_one_wins(recommender: Rig) -> None:
    barrier = threading.Barrier(4)

    def create(n: int) -> int:
        barrier.wait(10)
        return code(recommender.put("a", title=f"By {n}", headers={"If-None-Match": "*"}))[0]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [201, 412, 412, 412]


def test_a_load_that_breaks_off_in_the_middle_is_done_again(
    make_recommender: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = importlib.import_module("recommender.service.replica")
    rig = make_recommender()
    for n in range(3):
        rig.put(f"a{n}")
    replica = rig.parts["replica"]
    whole = module.changes_since

    def broken(*arguments: Any) -> Any:
        yield from list(whole(*arguments))[:1]
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    # Many dead rows: the next catching up builds everything anew, and the connection dies under it.
    monkeypatch.setattr(type(replica._builder), "needs_compaction", True)
    rig_two = make_recommender()
    rig_two.put("b")
    monkeypatch.setattr(module, "changes_since", broken)
    with pytest.raises(sa.exc.OperationalError):
        replica.catch_up()
    monkeypatch.undo()
    rig_two.put("c")
    assert rig.shown() == {"a0", "a1", "a2", "b", "c"}
