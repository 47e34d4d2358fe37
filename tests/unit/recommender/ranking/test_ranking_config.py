"""The ranking configuration: what comes with the package, and every mistake named at once."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files

import pytest

from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.ranking_config import TERMS
from recommender.domain.ranking_reader import load_ranking_config


def packaged() -> dict[str, object]:
    return tomllib.loads(files("recommender").joinpath("ranking.toml").read_text())


def test_the_packaged_configuration_reads_from_toml_and_json_alike() -> None:
    config = load_ranking_config()
    assert len(config.weights) == len(TERMS)
    assert load_ranking_config(json.dumps(packaged()).encode()) == config


def test_every_mistake_is_named() -> None:
    table = packaged()
    table["terms"] = {"together": "much", "charm": 1.0}
    table["interest"] = {"recent_half_life_days": 0}
    table["curves"] = {"fresh_day": {"x": [0.0, 0.0], "y": [0.0, 1.0]}}
    table["goals"] = {"advance": {"progress": -1}, "sell": {}}
    table["surprise"] = 1
    with pytest.raises(ConfigurationInvalid) as error:
        load_ranking_config(json.dumps(table).encode())
    text = str(error.value)
    for part in (
        "together",
        "charm",
        "recent_half_life_days",
        "remembered",
        "fresh_day",
        "progress",
        "sell",
        "surprise",
    ):
        assert part in text


@pytest.mark.parametrize("data", [b"\xff", b"= 1", b"{", b"name = 'x'"])
def test_unreadable_files_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationInvalid):
        load_ranking_config(data)
