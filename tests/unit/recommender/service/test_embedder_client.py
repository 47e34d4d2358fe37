"""What is taken from an embeddings server for a vector, and how passages become one vector of an asset."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest

from recommender.clients.embedder import EmbedderClient, EmbeddingFailed
from recommender.service.encoding import AssetEncoder, AssetText, pool_passages
from recommender_rig import ServedEmbedder
from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient
from unit.servicekit.raw_server import answer, read_request, served


def row(index: int, vector: list[float], *, packed: bool = False) -> dict[str, Any]:
    raw = base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode()
    return {"index": index, "embedding": raw if packed else vector}


def ask(document: object, count: int = 2, status: str = "200 OK") -> Any:
    def script(connection: Any, _: int) -> None:
        read_request(connection)
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        connection.sendall(answer(status, body))

    with served(script) as url:
        client = EmbedderClient(ServiceClient("embedder", url, timeout_seconds=5), timeout_seconds=5)
        return client.embed(["text"] * count)


def test_any_server_of_the_api_will_do() -> None:
    rows = [row(1, [0.0, 2.0]), row(0, [3.0, 4.0], packed=True)]  # out of order, not normalised
    found = ask({"model": "m", "data": rows})
    assert found.model_id == "m"
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0.0, 1.0]], atol=1e-6)
    assert found.vectors.dtype == np.float32


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        {},
        {"model": "m", "data": []},
        {"model": "m", "data": [row(0, [1.0, 0.0])]},
        {"model": "m", "data": [row(0, [1.0, 0.0]), row(1, [0.0, 0.0])]},
        {"model": "m", "data": [row(0, [1.0, 0.0]), row(1, [1.0])]},
        {"model": "m", "data": [row(0, [1.0, float("nan")], packed=True), row(1, [1.0, 0.0])]},
        {"model": "m", "data": [{"index": 0, "embedding": "no base64!"}, row(1, [1.0, 0.0])]},
        {"data": [row(0, [1.0]), row(1, [1.0])]},
    ],
)
def test_what_is_no_embedding_is_refused(document: object) -> None:
    with pytest.raises(EmbeddingFailed):
        ask(document)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("429 Busy", UpstreamUnavailable),
        ("503 Away", UpstreamUnavailable),
        ("500 Oops", UpstreamUnavailable),
        ("408 Late", UpstreamUnavailable),
        ("400 Refused", EmbeddingFailed),
        ("413 Large", EmbeddingFailed),
    ],
)
def test_waiting_helps_or_it_does_not(status: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask({}, status=status)


@pytest.fixture(scope="module")
def embedder_of_module() -> Iterator[ServedEmbedder]:
    server = ServedEmbedder()
    yield server
    server.close()


def encoder(server: ServedEmbedder) -> AssetEncoder:
    upstream = ServiceClient("embedder", server.url, timeout_seconds=20)
    return AssetEncoder(EmbedderClient(upstream, timeout_seconds=20))


def test_assets_together_get_the_vectors_that_each_gets_alone(embedder_of_module: ServedEmbedder) -> None:
    texts = [
        AssetText("Cold chain", None, None),
        AssetText("Long read", "A summary", "Sentences about sensors. " * 400),
        AssetText("Alarms", "Too many of them", None),
    ]
    ours = encoder(embedder_of_module)
    together = ours.encode_assets(texts)
    alone = np.concatenate([ours.encode_assets([text]).vectors for text in texts])
    np.testing.assert_allclose(together.vectors, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together.vectors, axis=1), 1, atol=1e-5)
    assert together.model_id == "hashing-384@1"


def test_a_model_that_changes_between_two_calls_is_never_mixed(embedder_of_module: ServedEmbedder) -> None:
    switch = embedder_of_module.switch
    switch.reset()

    def change() -> None:
        switch.model = "hashing-256"

    switch.before_answer = change
    with pytest.raises(UpstreamUnavailable, match="changed its model"):
        encoder(embedder_of_module).encode_sentences([f"Sentence {n}" for n in range(200)])
    switch.reset()


def test_passages_weigh_together_as_much_as_the_head() -> None:
    head, one, other = np.eye(3, dtype=np.float32)
    assert np.array_equal(pool_passages(head[None, :]), head)
    pooled = pool_passages(np.stack([head, one, other]))
    np.testing.assert_allclose(pooled, np.array([2, 1, 1]) / np.sqrt(6), atol=1e-6)
    against = pool_passages(np.stack([head, -head]))
    np.testing.assert_allclose(against, head)
