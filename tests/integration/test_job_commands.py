"""What Kubernetes runs as Jobs: shares of embedding, and retention; as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from recommender.store.retention import alone, first_kept_month, forget
from recommender_rig import Rig, ServedEmbedder, SwitchableEmbedder

ASSETS = 150


def _foreword(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "servicekit.cli", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def _vectors(rig: Rig, model: str) -> dict[str, bytes]:
    rows = rig.rows("SELECT asset_id, vector FROM recommender.embeddings WHERE model_id = %s", model)
    return {row[0]: bytes(row[1]) for row in rows}


@pytest.fixture
def unembedded(recommender: Rig, embedder: SwitchableEmbedder) -> Rig:
    """A catalogue that was stored while the embedder was away."""
    embedder.away = True
    for number in range(ASSETS):
        recommender.put(f"asset {number}", body=f"What {number} doors say of {number % 7} alarms.")
    embedder.away = False
    with recommender.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE recommender.assets SET embedding_retry_at = NULL")
    return recommender


def test_shares_worked_on_side_by_side_give_what_one_process_gives(
    unembedded: Rig, embedder: SwitchableEmbedder, embedder_server: ServedEmbedder, recommender_database: str
) -> None:
    environment = {"DATABASE_URL": recommender_database, "FOREWORD_EMBEDDER_URL": embedder_server.url}
    told = _ended(_foreword("embed-share", "--index", "0", "--of", "1", **environment))
    assert f"Share 0 of 1: {ASSETS} embedded" in told
    (model,) = {row[0] for row in unembedded.rows("SELECT DISTINCT model_id FROM recommender.embeddings")}
    alone_made = _vectors(unembedded, model)
    with unembedded.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM recommender.embeddings")
        connection.exec_driver_sql("UPDATE recommender.catalogue_head SET live_model = NULL")
    embedder.texts.clear()
    # As an Indexed Job starts them: the index comes from the environment.
    workers = [
        _foreword("embed-share", **environment, JOB_COMPLETION_INDEX=str(index), FOREWORD_SHARES="3")
        for index in range(3)
    ]
    told_by_each = [_ended(worker) for worker in workers]
    counts = [int(told.split(": ")[1].split(" ")[0]) for told in told_by_each]
    assert sum(counts) == ASSETS
    assert min(counts) > ASSETS / 6, "each takes a fair share"
    assert _vectors(unembedded, model) == alone_made
    texts = [text for text in embedder.texts if text != "model"]
    assert len(texts) == len(set(texts)), "nothing was embedded twice"
    assert unembedded.rows("SELECT live_model FROM recommender.catalogue_head") == [(model,)]
    assert any("is complete and serves" in told for told in told_by_each)
    again = _ended(_foreword("embed-share", "--index", "1", "--of", "3", **environment))
    assert "Share 1 of 3: 0 embedded" in again


def test_a_share_that_was_stopped_goes_on_where_it_was(
    unembedded: Rig, embedder: SwitchableEmbedder, embedder_server: ServedEmbedder, recommender_database: str
) -> None:
    """The embedder goes away after the first block, for longer than the command has patience."""
    environment = {"DATABASE_URL": recommender_database, "FOREWORD_EMBEDDER_URL": embedder_server.url}
    answered = 0

    def leave() -> None:
        nonlocal answered
        answered += 1
        embedder.away = answered >= 2  # one word to learn the model, one block

    embedder.before_answer = leave
    broken = _foreword("embed-share", "--index", "0", "--of", "1", "--patience", "0", **environment)
    _, complaint = broken.communicate(timeout=120)
    assert broken.returncode == 1
    assert "what is done is stored" in complaint
    stored = unembedded.rows("SELECT count(*) FROM recommender.embeddings")[0][0]
    assert 0 < stored < ASSETS
    embedder.before_answer, embedder.away = None, False
    with unembedded.engine.begin() as connection:  # what the broken run had leased, two minutes later
        connection.exec_driver_sql("UPDATE recommender.assets SET embedding_retry_at = NULL")
    told = _ended(_foreword("embed-share", "--index", "0", "--of", "1", **environment))
    assert f"{ASSETS - stored} embedded" in told


def test_a_share_beyond_the_count_is_a_mistake_in_one_sentence(recommender_database: str) -> None:
    process = _foreword("embed-share", "--index", "3", "--of", "3", DATABASE_URL=recommender_database)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "counted from 0 to 2" in complaint
    assert "Traceback" not in complaint


def _signal(rig: Rig, user: str, at: str, message: str) -> None:
    event = {
        "type": "track",
        "event": "Asset Downloaded",
        "userId": user,
        "messageId": message,
        "timestamp": at,
        "properties": {"asset_id": "asset"},
    }
    assert rig.send(event).status_code == 200


def _partitions(rig: Rig) -> set[str]:
    return {
        row[0]
        for row in rig.rows(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'recommender.signals'::regclass"
        )
    }


def test_retention_drops_whole_months_and_folds_their_buyers_anew(recommender: Rig) -> None:
    recommender.put("asset")
    for month in (1, 2, 5):
        _signal(recommender, f"in-{month}", f"2026-0{month}-11T10:00:00Z", f"m{month}")
    _signal(recommender, "both", "2026-02-12T10:00:00Z", "both-1")
    _signal(recommender, "both", "2026-05-12T10:00:00Z", "both-2")
    assert len(recommender.buyer("both")["recent_signals"]) == 2
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    planned = forget(recommender.engine, now, 3, dry_run=True)
    assert "signals_y2026m02" in planned.partitions
    assert "signals_y2026m02" in _partitions(recommender), "a dry run changes nothing"
    with alone(recommender.engine) as mine:
        assert mine
        done = forget(recommender.engine, now, 3)
    assert done.partitions == planned.partitions
    assert {"signals_y2026m01", "signals_y2026m02"}.isdisjoint(_partitions(recommender))
    assert "signals_y2026m05" in _partitions(recommender)
    assert len(recommender.buyer("both")["recent_signals"]) == 1
    assert len(recommender.buyer("in-5")["recent_signals"]) == 1
    assert forget(recommender.engine, now, 3).partitions == ()
    # A month that was dropped can be written to again: the next event makes it anew.
    _signal(recommender, "late", "2026-05-20T10:00:00Z", "late")


def test_retention_runs_alone(recommender: Rig, recommender_database: str) -> None:
    with alone(recommender.engine) as mine:
        assert mine
        told = _ended(_foreword("retention", "--keep-months", "3", DATABASE_URL=recommender_database))
        assert "Another run of retention is under way" in told
    assert "Kept from" in _ended(_foreword("retention", "--dry-run", DATABASE_URL=recommender_database))


@pytest.mark.parametrize(
    ("keep", "first"), [(1, datetime(2026, 1, 1, tzinfo=UTC)), (2, datetime(2025, 12, 1, tzinfo=UTC))]
)
def test_this_month_counts_as_kept(keep: int, first: datetime) -> None:
    assert first_kept_month(datetime(2026, 1, 31, 23, tzinfo=UTC), keep) == first
