"""The hashing encoder: deterministic, small, no model file; texts that share words get near vectors."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import Tokens, Vectors, normalised, token_counts
from embedder.passes import encode_in_passes

# Raised whenever the same text would get another vector: it is part of the model id.
_ALGORITHM = "1"
_WORD = re.compile(r"\w+")
_KIND_BITS = 2
# A shared word says more than a shared pair, and a shared piece of a word (a plural, a compound) says least.
_WEIGHT_OF_KIND = np.array([1.0, 0.5, 0.35, 1.0], dtype=np.float64)
_WORD_KIND, _PAIR_KIND, _PIECE_KIND, _WHOLE_KIND = range(4)


class HashingEncoder:
    """Signed feature hashing (Weinberger et al. 2009) of words, word pairs and character trigrams."""

    def __init__(self, dimension: int = 384, *, max_tokens: int = 256) -> None:
        if dimension < 2:
            raise ValueError("a hashing encoder needs at least 2 dimensions")
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.revision = _ALGORITHM
        self.model_id = f"hashing-{dimension}@{_ALGORITHM}"

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """A token is a word; `ids` are hashes of all features, with the feature's kind in the low bits."""
        return [self._tokens(text) for text in texts]

    def _tokens(self, text: str) -> Tokens:
        words = _WORD.findall(text.casefold())
        read = words[: self.max_tokens]
        features = list(_features(read)) or [_hashed(text, _WHOLE_KIND)]
        return Tokens(
            np.array(features, dtype=np.int64), max(1, len(read)), truncated=len(words) > self.max_tokens
        )

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        vectors = np.zeros((len(batch), self.dimension), dtype=np.float32)
        for row, tokens in enumerate(batch):
            features, frequency = np.unique(tokens.ids, return_counts=True)
            weights = (1.0 + np.log(frequency)) * _WEIGHT_OF_KIND[features & (2**_KIND_BITS - 1)]
            mixed = _mixed(features)
            signs = np.where(mixed >> np.uint64(63), 1.0, -1.0)
            buckets = ((mixed >> np.uint64(20)) % np.uint64(self.dimension)).astype(np.int64)
            summed = np.bincount(buckets, weights * signs, minlength=self.dimension)
            if not summed.any():  # features of opposite sign met in one bucket: keep a direction anyhow
                summed[buckets[0]] = 1.0
            vectors[row] = summed
        return normalised(vectors)

    def encode(self, texts: Sequence[str]) -> Vectors:
        return encode_in_passes(self, texts, budget=8192)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return token_counts(self.tokenise(texts))


def _features(words: Sequence[str]) -> Iterator[int]:
    for position, word in enumerate(words):
        yield _hashed(word, _WORD_KIND)
        if position:
            yield _hashed(words[position - 1] + " " + word, _PAIR_KIND)
        edged = f"<{word}>"
        for at in range(len(edged) - 2):
            yield _hashed(edged[at : at + 3], _PIECE_KIND)


def _hashed(feature: str, kind: int) -> int:
    # CRC-32 rather than hash(): the same in every process and release. surrogatepass: any str has a vector.
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) << _KIND_BITS | kind


def _mixed(features: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Finaliser of MurmurHash3 (64 bit, public domain): CRC alone keeps near strings in related buckets."""
    mixed = features.astype(np.uint64)
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(multiplier)
    return mixed ^ (mixed >> np.uint64(33))
