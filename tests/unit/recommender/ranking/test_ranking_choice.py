"""Constants and weights are tried and chosen within bounds, and the script writes what was chosen."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranking_firm import KINDS, make_events, make_firm
from recommender.domain.ranking_config import TERMS, LastingSettings, load_ranking_config
from recommender.service.evaluation_data import Log
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
