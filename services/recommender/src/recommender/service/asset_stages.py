"""Which stage an asset speaks to: the editor's word, else the model's estimate from text and type."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.domain.stages import StageModel
from recommender.numeric.asset_stages import (
    asset_type_index,
    editors_distribution,
    estimate_asset_stages,
    prototype_sentences,
)
from recommender.service.encoding import AssetEncoder
from recommender.store import embeddings
from recommender.store.embeddings import CatalogueChange
from servicekit.database import reading


class AssetStageEstimator:
    """Estimates with the prototypes of one embedding model; without them the type alone speaks."""

    def __init__(self, model: StageModel, prototypes: NDArray[np.float32] | None) -> None:
        self._model = model
        self._prototypes = prototypes

    @cached_property
    def fingerprint(self) -> str:
        """Equal for estimators that give equal estimates."""
        with np.printoptions(threshold=sys.maxsize, precision=17):
            text = repr(self._model).encode()
        vectors = b"" if self._prototypes is None else np.ascontiguousarray(self._prototypes).tobytes()
        return hashlib.blake2b(text + vectors, digest_size=16).hexdigest()

    @property
    def reads_text(self) -> bool:
        return self._prototypes is not None

    def estimate(self, changes: Sequence[CatalogueChange]) -> NDArray[np.float32]:
        """float32 [n, 4] over STAGES, one row for each change that is not a deletion."""
        types = np.array([asset_type_index(self._model, c.card.type if c.card else None) for c in changes])
        uniform = np.full((len(changes), 4), 0.25)
        result = self._by_type(types) if len(changes) else uniform
        if self._prototypes is not None:
            dimension = self._prototypes.shape[1]
            readable = [
                i for i, c in enumerate(changes) if c.vector is not None and len(c.vector) == dimension
            ]
            if readable:
                vectors = np.stack([np.asarray(changes[i].vector) for i in readable])
                result[readable] = estimate_asset_stages(
                    self._model, vectors, types[readable], self._prototypes
                )
        for i, change in enumerate(changes):
            if change.stages:
                result[i] = editors_distribution(self._model, change.stages)
        return result.astype(np.float32)

    def _by_type(self, types: NDArray[np.int64]) -> NDArray[np.float64]:
        """The type's prior alone, softened as in the full formula so that text may still move it."""
        settings = self._model.asset_stages
        uniform = np.full((1, len(settings.states)), 1.0 / len(settings.states))
        priors = np.concatenate((settings.type_priors, uniform))[types] ** settings.prior_power
        return np.asarray(priors / priors.sum(axis=1, keepdims=True))


def load_prototypes(
    engine: sa.Engine, encoder: AssetEncoder, model: StageModel, model_id: str
) -> NDArray[np.float32] | None:
    """The prototypes' vectors of this embedding model: from the database, else made by the embedder, once.

    None when the embedder serves another model by now; raises UpstreamUnavailable while it is away.
    """
    sentences = prototype_sentences(model)
    digest = hashlib.blake2b("\x00".join(sentences).encode(), digest_size=16).digest()
    with reading(engine) as connection:
        kept = embeddings.load_prototypes(connection, model_id, digest)
    if kept is not None:
        return np.frombuffer(kept, dtype="<f4").reshape(len(sentences), -1)
    encoded = encoder.encode_sentences(sentences)
    if encoded.model_id != model_id:
        return None
    with engine.begin() as connection:
        embeddings.save_prototypes(connection, model_id, digest, encoded.vectors.astype("<f4").tobytes())
    return encoded.vectors
