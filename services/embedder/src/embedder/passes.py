"""How texts of different lengths are cut into forward passes: sorted by length, within a token budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import Encoder, Vectors, token_counts


def plan(counts: NDArray[np.int64], budget: int) -> list[NDArray[np.intp]]:
    """Cut texts of `counts` tokens (int64 [n]) into passes; → index arrays that together hold each text once.

    Every text of a pass is padded to the longest, so a pass costs texts × longest. That cost stays within
    `budget` (unless one text alone is more), and padding within an eighth of it: beyond that a pass of its
    own is cheaper than computing on nothing.
    """
    order = np.argsort(counts, kind="stable")
    passes: list[NDArray[np.intp]] = []
    start, filled = 0, 0
    for position, index in enumerate(order):
        longest = int(counts[index])
        cost = (position - start + 1) * longest
        padding = cost - filled - longest
        if position > start and (cost > budget or padding > budget // 8):
            passes.append(order[start:position])
            start, filled = position, 0
        filled += longest
    if start < len(order):
        passes.append(order[start:])
    return passes


def encode_in_passes(encoder: Encoder, texts: Sequence[str], budget: int) -> Vectors:
    """The plain way from texts to vectors, and the judge of the micro-batcher: float32 [n, dimension]."""
    tokens = encoder.tokenise(texts)
    vectors = np.empty((len(tokens), encoder.dimension), dtype=np.float32)
    for chosen in plan(token_counts(tokens), budget):
        vectors[chosen] = encoder.forward([tokens[i] for i in chosen])
    return vectors
