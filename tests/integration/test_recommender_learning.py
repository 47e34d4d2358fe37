"""`foreword learn` reads the firm's own log from its database, and what it writes can serve."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from recommender.commands import group
from recommender.domain.ranking_reader import load_ranking_config
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.service import ranking_learning
from recommender.service.meters import CatalogueMeters
from recommender.service.stored_log import read_stored_log
from recommender_rig import NOON, Rig, RigMaker
from servicekit.metrics import Metrics

TOPICS = ("cold chain", "customs", "warehouse robots")
ASSETS, BUYERS, READ = 30, 24, 6


@pytest.fixture
def busy(recommender: Rig) -> Rig:
    """Buyers who each read six assets of one topic, an hour apart, the latest ten days before noon."""
    for i in range(ASSETS):
        topic = TOPICS[i % 3]
        recommender.put(
            f"a{i}",
            title=f"{topic}: number {i} on {topic}",
            topics=[topic],
            publish_at=(NOON - timedelta(days=200 - i)).isoformat(),
        )
    rng = np.random.default_rng(1)
    for b in range(BUYERS):
        read = rng.permutation(np.arange(b % 3, ASSETS, 3))[:READ]
        events = [
            {
                "type": "track",
                "event": "Content Viewed",
                "messageId": f"{b}-{n}",
                "userId": f"u{b}",
                "timestamp": (NOON - timedelta(days=10 + b, hours=READ - n)).isoformat(),
                "properties": {"asset_id": f"a{i}"},
            }
            for n, i in enumerate(read)
        ]
        assert recommender.send(*events).status_code == 200
    return recommender


def test_the_stored_log_is_the_one_that_was_sent(busy: Rig) -> None:
    kinds = load_signal_kinds()
    meters = CatalogueMeters(Metrics.create("test", "1"))
    log = read_stored_log(busy.engine, kinds, load_stage_model(), meters, 0.0)
    assert len(log.catalogue) == ASSETS
    assert log.catalogue.has_vector.all()
    assert len(log.events) == BUYERS * READ
    assert len(log.buyers) == BUYERS
    assert log.missing == log.early == 0
    assert (np.diff(log.events.at) >= 0).all()
    topic_of = {card.asset_id: card.topics[0] for card in log.catalogue.cards}
    for b in range(BUYERS):
        assert len({topic_of[log.events.names[a]] for a in log.events.asset[log.events.buyer == b]}) == 1


@pytest.mark.parametrize("least", [300, 20])
def test_what_is_learnt_from_the_database_serves(
    busy: Rig,
    make_recommender: RigMaker,
    recommender_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: int,
) -> None:
    monkeypatch.setattr(ranking_learning, "LEAST_CASES", least)
    out = tmp_path / "ranking.json"
    arguments = ["learn", "--database-url", recommender_database, "--json", str(out)]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    notes = json.loads(out.read_text())["notes"]
    if least > BUYERS * READ:
        assert "The plain blend stays (too few cases to learn from)" in result.output
        assert load_ranking_config(out.read_bytes()) == load_ranking_config()
    else:
        assert notes["learnt_ndcg_at_10"] > notes["plain_ndcg_at_10"] or "plain blend stays" in result.output
        assert [t["ridge"] for t in notes["tried"]][:4] == [30.0, 30.0, 30.0, 60.0]
    written = json.loads(out.read_text())
    written["rerank"]["explore_share"] = 0.0  # or chance might put another topic in the last place
    out.write_text(json.dumps(written))
    served = make_recommender(ranking_file=out)
    served.parts["keeper"].refresh()
    shown = served.recommend(user_id="u0", count=3)
    assert shown["meta"]["tier"] == "personal"
    assert [int(item["id"][1:]) % 3 for item in shown["items"]] == [0, 0, 0], "all of its own topic"


def test_learning_needs_a_log() -> None:
    result = CliRunner().invoke(group, ["learn", "--json", "x.json"], env={"DATABASE_URL": ""})
    assert result.exit_code == 2
    assert "--database-url" in result.output
