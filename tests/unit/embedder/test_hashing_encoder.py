"""The hashing encoder keeps the promises of the port, and puts texts that share words near each other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder.encoder import Encoder
from embedder.hashing import HashingEncoder

ENCODER: Encoder = HashingEncoder()


def test_texts_that_share_words_are_nearer_than_texts_that_do_not() -> None:
    texts = [
        "Pricing of cloud data warehouses compared",
        "How cloud data warehouses are priced",
        "Onboarding checklist for new sales managers",
    ]
    about_prices, also_prices, other = ENCODER.encode(texts)
    assert about_prices @ also_prices > 0.3
    assert abs(about_prices @ other) < 0.15


def test_inflections_are_nearer_than_unrelated_words() -> None:
    one, many, other = ENCODER.encode(["warehouse", "warehouses", "compliance"])
    assert one @ many > one @ other + 0.2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=8))
def test_every_text_gets_a_unit_vector_that_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = ENCODER.encode(texts)
    assert together.shape == (len(texts), 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(ENCODER.encode([text])[0], vector)


def test_no_texts_give_no_vectors() -> None:
    assert ENCODER.encode([]).shape == (0, 384)
    assert ENCODER.count_tokens([]).shape == (0,)


def test_another_process_gives_the_same_vector() -> None:
    """str hashes differ between processes; a vector that did would make stored embeddings worthless."""
    program = (
        "from embedder.hashing import HashingEncoder\n"
        "print(HashingEncoder().encode(['Buying stage'])[0].tobytes().hex())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    ).stdout
    assert printed.strip() == ENCODER.encode(["Buying stage"])[0].tobytes().hex()


def test_only_the_first_words_are_read_and_it_says_so() -> None:
    short = HashingEncoder(max_tokens=3)
    whole, cut = short.tokenise(["one two three", "one two three four"])
    assert (whole.count, whole.truncated) == (3, False)
    assert (cut.count, cut.truncated) == (3, True)
    np.testing.assert_array_equal(*short.encode(["one two three", "one two three four"]))


def test_the_id_tells_dimensions_apart() -> None:
    assert HashingEncoder(128).model_id != HashingEncoder(384).model_id
    assert HashingEncoder(128).encode(["a"]).shape == (1, 128)
    with pytest.raises(ValueError, match="at least 2"):
        HashingEncoder(1)
