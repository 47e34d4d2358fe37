"""The embedder, called through the OpenAI embeddings API, so that any server of that API can stand in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient, UpstreamResponse

_INPUTS_PER_CALL = 128


class EmbeddingFailed(Exception):
    """The embedder refused these texts, or gave what is no embedding; trying again will not help."""


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Unit vectors float32 [n, d] and the model that made them."""

    model_id: str
    vectors: NDArray[np.float32]


class EmbedderClient:
    """Texts in, embeddings out; raises UpstreamUnavailable when the embedder is away."""

    def __init__(self, client: ServiceClient, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds

    def embed(self, texts: Sequence[str], *, timeout_seconds: float | None = None) -> Embeddings:
        """One embedding for each text, in order; any number of texts."""
        parts = [
            self._call(texts[start : start + _INPUTS_PER_CALL], timeout_seconds or self._timeout)
            for start in range(0, len(texts), _INPUTS_PER_CALL)
        ]
        models = {part.model_id for part in parts}
        if len(models) != 1:
            raise UpstreamUnavailable("The embedder changed its model in the middle of a call.")
        return Embeddings(models.pop(), np.concatenate([part.vectors for part in parts]))

    def _call(self, texts: Sequence[str], timeout: float) -> Embeddings:
        response = self._client.request(
            "POST",
            "/v1/embeddings",
            body=orjson.dumps({"input": list(texts), "encoding_format": "base64"}),
            headers={"Content-Type": "application/json"},
            timeout_seconds=timeout,
        )
        if response.status in {408, 429} or response.status >= 500:
            raise UpstreamUnavailable(f"The embedder is busy (status {response.status}).")
        if response.status != 200:
            raise EmbeddingFailed(f"The embedder refused these texts (status {response.status}).")
        return _read(response, len(texts))


def _read(response: UpstreamResponse, count: int) -> Embeddings:
    try:
        document = response.json()
        rows = sorted(document["data"], key=lambda row: row["index"])
        vectors = np.stack([_vector(row["embedding"]) for row in rows])
        model = str(document["model"])
    except (KeyError, TypeError, ValueError, binascii.Error, orjson.JSONDecodeError) as error:
        raise EmbeddingFailed("The embedder's answer has not the shape of the OpenAI API.") from error
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if len(vectors) != count or not np.all(np.isfinite(vectors)) or np.any(norms == 0):
        raise EmbeddingFailed("The embedder's answer is no set of embeddings of these texts.")
    # Another server of the API may not normalise; ours does, and dividing by 1 changes nothing.
    return Embeddings(model, (vectors / norms).astype(np.float32))


def _vector(value: str | list[float]) -> NDArray[np.float32]:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    return np.asarray(value, dtype=np.float32)
