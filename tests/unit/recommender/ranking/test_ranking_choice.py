"""Constants and weights are tried and chosen within bounds, and the script writes what was chosen."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ranking_firm import DAY, KINDS, make_events, make_firm
from recommender.domain.ranking_config import TERMS, LastingSettings
from recommender.domain.ranking_reader import load_ranking_config
from recommender.service.evaluation_data import Log, read_log, with_vectors
from recommender.service.ranking_choice import CONSTANTS, MOST_WEIGHT, choose_ranking

FIRM = make_firm(60, 16)
CONFIG = load_ranking_config()
ROOT = Path(__file__).parents[4]


def log_of(seed: int = 2) -> Log:
    events = make_events(FIRM, buyers=30, per_buyer=8, seed=seed)
    return Log(FIRM, events.rows(np.argsort(events.at, kind="stable")), tuple(map(str, range(30))), 0, 0, 0)


@pytest.mark.slow
def test_constants_are_tried_and_weights_fitted_within_bounds() -> None:
    log = log_of()
    until = float(np.quantile(log.events.at, 0.8))
    flat = replace(CONFIG, lasting=LastingSettings(), weights=tuple(0.01 for _ in TERMS))
    chosen = choose_ranking(log, KINDS, flat, until=until, days=400.0, constants=CONSTANTS[:1])
    assert [row["what"] for row in chosen.tried][:2] == ["as it stands", CONSTANTS[0][0]]
    assert chosen.config.weights != flat.weights
    assert all(0.0 <= w <= MOST_WEIGHT for w in chosen.config.weights)
    assert any(row.get("kept") for row in chosen.tried)


@pytest.mark.slow
def test_nothing_that_comes_later_is_known_when_choosing(tmp_path: Path) -> None:
    """A log cut at the moment, as the script cuts files, must choose to the bit what the whole log does."""
    rng = np.random.default_rng(3)
    cards, events = FIRM.cards, make_events(FIRM, buyers=30, per_buyer=8, seed=4)
    until = float(np.quantile(events.at, 0.7))
    published = np.where(rng.random(len(cards)) < 0.3, until + DAY * rng.uniform(-20, 20, len(cards)), 0.0)
    assets = [
        {"id": c.asset_id, "title": c.title, "url": c.url, "type": c.type, "language": c.language,
         "topics": list(c.topics), "publish_at": iso(at)}
        for c, at in zip(cards, published, strict=True)
    ]  # fmt: skip
    signals = [
        {"type": "track", "event": "Content Viewed", "userId": f"u{events.buyer[i]}", "timestamp": iso(at),
         "properties": {"asset_id": events.names[events.asset[i]]}}
        for i in np.argsort(events.at, kind="stable") for at in [float(events.at[i])]
    ]  # fmt: skip
    chosen = []
    for name, cut in (("whole", np.inf), ("early", until)):
        files = [tmp_path / f"{name}-{what}.ndjson" for what in ("assets", "signals")]
        for file, rows, field in zip(files, (assets, signals), ("publish_at", "timestamp"), strict=True):
            kept = [r for r in rows if datetime.fromisoformat(str(r[field])).timestamp() < cut]
            file.write_text("".join(json.dumps(r) + "\n" for r in kept))
        log = read_log(files[:1], files[1:], KINDS)
        vectors = FIRM.vectors[[FIRM.row_of[c.asset_id] for c in log.catalogue.cards]]
        log = replace(log, catalogue=with_vectors(log.catalogue, vectors, "test"))
        chosen.append(choose_ranking(log, KINDS, CONFIG, until=until, days=400.0, constants=CONSTANTS[:1]))
    whole, early = chosen
    assert (published >= until).sum() > 3
    assert whole.tried == early.tried
    assert whole.config == early.config


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_the_script_writes_numbers_and_keeps_comments() -> None:
    spec = importlib.util.spec_from_file_location("choose_ranking", ROOT / "scripts" / "choose_ranking.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (ROOT / "services/recommender/src/recommender/ranking.toml").read_text()
    weights = tuple(round(0.1 * i, 3) for i in range(len(TERMS)))
    written = script.written_into(text, replace(CONFIG, weights=weights))
    assert load_ranking_config(written.encode()).weights[: len(TERMS) - 1] == weights[:-1]
    assert [line.partition("#")[2] for line in written.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in text.splitlines() if "#" in line
    ]
