"""From an asset's text to its one embedding: title, summary and passages, encoded and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.clients.embedder import EmbedderClient
from recommender.extraction.passages import split_passages

Vectors = NDArray[np.float32]
# Title and summary say what the asset is about; the passages together weigh as much as they do.
_HEAD_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class AssetText:
    title: str
    summary: str | None
    body: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Unit vectors float32 [n, d], one for each asset, and the model that made them."""

    model_id: str
    vectors: Vectors


def pool_passages(vectors: Vectors) -> Vectors:
    """One unit vector [d] from those of head and passages [p, d]: head .5, mean of the others .5."""
    if len(vectors) == 1:
        return np.asarray(vectors[0])
    pooled = _HEAD_WEIGHT * vectors[0] + (1 - _HEAD_WEIGHT) * vectors[1:].mean(axis=0)
    norm = float(np.linalg.norm(pooled))
    return np.asarray(pooled / norm if norm > 0 else vectors[0], dtype=np.float32)


class AssetEncoder:
    """Encodes assets and queries through the embedder; raises UpstreamUnavailable or EmbeddingFailed."""

    def __init__(self, embedder: EmbedderClient) -> None:
        self._embedder = embedder

    def encode_assets(self, texts: Sequence[AssetText], *, timeout_seconds: float | None = None) -> Encoded:
        """All passages of all assets go in as few calls as possible."""
        passages: list[str] = []
        ends: list[int] = []
        for text in texts:
            passages += split_passages(text.title, text.summary, text.body or "")
            ends.append(len(passages))
        embedded = self._embedder.embed(passages, timeout_seconds=timeout_seconds)
        starts = [0, *ends[:-1]]
        pooled = [pool_passages(embedded.vectors[start:end]) for start, end in zip(starts, ends, strict=True)]
        return Encoded(embedded.model_id, np.stack(pooled))

    def encode_query(self, text: str, *, timeout_seconds: float) -> Encoded:
        embedded = self._embedder.embed([text], timeout_seconds=timeout_seconds)
        return Encoded(embedded.model_id, embedded.vectors)

    def encode_sentences(self, sentences: Sequence[str]) -> Encoded:
        embedded = self._embedder.embed(sentences)
        return Encoded(embedded.model_id, embedded.vectors)
