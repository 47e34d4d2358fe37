"""Which way of computing serves best on this machine: the fastest that finds the neighbours float32 finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import Encoder, Vectors

# Of the ten nearest texts so many must stay. bfloat16 keeps .99 of them; 8-bit integers lose a tenth.
LEAST_OVERLAP = 0.97
# Below this a faster way is not worth being another one than the library's own.
LEAST_GAIN = 1.1
_NEIGHBOURS = 10
_ROUNDS = 3
# Neighbours nearer to one another than this have no order worth keeping.
_TIE = 1e-4


@dataclass(frozen=True, slots=True)
class Way:
    """What computes a forward pass, and in which arithmetic."""

    engine: Literal["torch", "openvino"]
    dtype: Literal["float32", "bfloat16"]

    def __str__(self) -> str:
        return f"{self.engine} {self.dtype}"


REFERENCE = Way("torch", "float32")


@dataclass(frozen=True, slots=True)
class Finding:
    """`gain`: speed as a multiple of the reference's. `overlap`: share of its neighbours kept, 0 to 1."""

    gain: float
    overlap: float


def built_in_texts() -> list[str]:
    text = files("embedder").joinpath("self_test_texts.txt").read_text(encoding="utf-8")
    return text.splitlines()


def compare(ways: Mapping[Way, Encoder], seconds: Callable[[], float]) -> dict[Way, Finding]:
    """Let the ways take turns on the built-in texts; `ways` holds the reference, `seconds` is a clock.

    The quickest of a few rounds counts for each: what else the machine does can only slow one down.
    """
    texts = built_in_texts()
    quickest = dict.fromkeys(ways, float("inf"))
    vectors: dict[Way, Vectors] = {way: encoder.encode(texts) for way, encoder in ways.items()}  # and warm
    for _ in range(_ROUNDS):
        for way, encoder in ways.items():
            started = seconds()
            encoder.encode(texts)
            quickest[way] = min(quickest[way], seconds() - started)
    exact = vectors[REFERENCE]
    return {
        way: Finding(quickest[REFERENCE] / quickest[way], neighbour_overlap(exact, vectors[way]))
        for way in ways
    }


def neighbour_overlap(exact: Vectors, other: Vectors, count: int = _NEIGHBOURS) -> float:
    """Share of the `count` nearest neighbours in `exact` (float32 [n, d], norm 1) that `other` finds too.

    A neighbour that is as near as the last of them, within a rounding, is as good.
    """
    near, found = _similarity(exact), _similarity(other)
    last = -np.partition(-near, count - 1, axis=1)[:, count - 1 : count]
    chosen = np.argpartition(-found, count - 1, axis=1)[:, :count]
    return float((np.take_along_axis(near, chosen, axis=1) >= last - _TIE).mean())


def _similarity(vectors: Vectors) -> NDArray[np.float32]:
    cosines = np.asarray(vectors @ vectors.T, dtype=np.float32)
    np.fill_diagonal(cosines, -2.0)
    return cosines


def best(findings: Mapping[Way, Finding]) -> Way:
    """The fastest way that agrees; the reference unless one is clearly faster."""
    agreeing = [way for way, found in findings.items() if found.overlap >= LEAST_OVERLAP]
    fastest = max(agreeing, key=lambda way: findings[way].gain, default=REFERENCE)
    return fastest if findings[fastest].gain >= LEAST_GAIN else REFERENCE
