"""The embedder under gunicorn, called by OpenAI's own Python client; it hashes, so needs no torch."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest

from embedder.hashing import HashingEncoder
from integration.embedder_process import Server, running
from servicekit.http import ServiceClient

ENCODER = HashingEncoder()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(FOREWORD_EMBEDDER_MODEL="hashing") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def vectors_of(
    answer: openai.types.CreateEmbeddingResponse,
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array([entry.embedding for entry in answer.data], dtype=np.float32)


def test_the_clients_default_format(client: openai.OpenAI) -> None:
    texts = ["first text", "second text of more words"]
    answer = client.embeddings.create(model="hashing", input=texts)
    np.testing.assert_array_equal(vectors_of(answer), ENCODER.encode(texts))
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.model == "hashing-384@1"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)


def test_floats_a_single_string_and_fewer_dimensions(client: openai.OpenAI) -> None:
    whole = client.embeddings.create(model="hashing", input="one text", encoding_format="float")
    np.testing.assert_allclose(vectors_of(whole), ENCODER.encode(["one text"]), atol=1e-7)
    short = client.embeddings.create(model="hashing", input="one text", dimensions=64)
    prefix = ENCODER.encode(["one text"])[:, :64]
    np.testing.assert_allclose(vectors_of(short), prefix / np.linalg.norm(prefix), atol=1e-6)


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    (listed,) = client.models.list().data
    assert listed.id == "hashing-384@1"
    assert client.models.retrieve(listed.id).id == listed.id


def test_errors_become_the_clients_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="gpt-9", input="a")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert "hashing-384@1" in str(unknown.value)
    with pytest.raises(openai.UnprocessableEntityError) as empty:
        client.embeddings.create(model="hashing", input=["a", ""])
    assert (empty.value.code, empty.value.param) == ("input_empty", "input/1")
    assert empty.value.type == "invalid_request_error"
    assert "cannot be empty" in str(empty.value)
    with pytest.raises(openai.UnprocessableEntityError, match="at most 2048"):
        client.embeddings.create(model="hashing", input=["a"] * 2049)
    with pytest.raises(openai.UnprocessableEntityError, match="Token arrays"):
        client.embeddings.create(model="hashing", input=[[1, 2, 3]])
    with pytest.raises(openai.UnprocessableEntityError, match="at least one text"):
        client.embeddings.create(model="hashing", input=[])
    with pytest.raises(openai.UnprocessableEntityError, match="100000 characters"):
        client.embeddings.create(model="hashing", input="x" * 5_000_000)
    with pytest.raises(openai.InternalServerError) as late:
        client.embeddings.create(model="hashing", input=["a"] * 9, extra_headers={"X-Deadline-Ms": "0"})
    assert (late.value.status_code, late.value.code) == (503, "deadline_exceeded")
    assert late.value.response.headers["Retry-After"] == "2"


def test_a_body_over_the_limit_is_told_to_a_client_that_is_still_sending(server: Server) -> None:
    caller = ServiceClient("embedder", server.url, timeout_seconds=30)
    body = b'{"input": "' + b"a" * (33 * 1024 * 1024) + b'"}'
    answer = caller.request("POST", "/v1/embeddings", body=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json()["code"]) == (413, "payload_too_large")


def test_many_threads_each_get_their_own(client: openai.OpenAI) -> None:
    def ask(n: int) -> None:
        texts = [f"thread {n} text {k} " + "word " * (k % 11) for k in range(n % 12 + 1)]
        answer = client.embeddings.create(model="hashing", input=texts)
        np.testing.assert_array_equal(vectors_of(answer), ENCODER.encode(texts))

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(ask, range(120)))


def test_request_ids_are_echoed_and_metrics_are_on_their_own_port(server: Server) -> None:
    caller = ServiceClient("embedder", server.url, timeout_seconds=10)
    answer = caller.request(
        "POST",
        "/v1/embeddings",
        body=b'{"input":"a"}',
        headers={"Content-Type": "application/json", "X-Request-ID": "abc-1"},
    )
    assert (answer.status, answer.headers["x-request-id"]) == (200, "abc-1")
    with urllib.request.urlopen(f"{server.metrics_url}/metrics", timeout=5) as response:
        page = response.read().decode()
    assert 'foreword_embedder_model_info{model="hashing-384@1"} 1.0' in page
    assert "foreword_embedder_batch_size_texts_bucket" in page


def test_term_ends_it_in_order() -> None:
    with running(FOREWORD_EMBEDDER_MODEL="hashing") as started:
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(20) == 0
