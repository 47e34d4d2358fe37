"""The port every encoder fits: text is tokenised, tokens go through a forward pass, unit vectors come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class ModelUnusable(Exception):
    """The model cannot be found, read, or run the way this service runs models; the message says why."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as the encoder reads it: `ids` int64 [t], what they cost, and whether text was cut off."""

    ids: NDArray[np.int64]
    count: int
    truncated: bool = False


class Encoder(Protocol):
    """Text in, unit float32 vectors out. Every method may be called from many threads at once.

    `model_id` is `<name>@<revision>`: vectors of different ids must never be compared.
    """

    @property
    def model_id(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """One `Tokens` for each text, at most `max_tokens` long."""

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        """One forward pass: float32 [n, dimension], each row of norm 1, in the order given."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`tokenise` and `forward` in passes of a sensible size: float32 [n, dimension]."""

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens of each text are read: int64 [n]."""


def token_counts(tokens: Sequence[Tokens]) -> NDArray[np.int64]:
    return np.fromiter((t.count for t in tokens), dtype=np.int64, count=len(tokens))


def normalised(vectors: Vectors) -> Vectors:
    """Rows scaled to norm 1 (float32 [n, d]); a row of zeros has no direction and stays as it is."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)
