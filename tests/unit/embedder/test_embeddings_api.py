"""The HTTP surface on the hashing encoder: the OpenAI shape, its limits, and errors a client can read."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from embedder.app import create_app
from embedder.hashing import HashingEncoder
from embedder.settings import EmbedderSettings
from servicekit.http import DEADLINE_HEADER

URL = "/v1/embeddings"
ENCODER = HashingEncoder()


def hashing_client() -> Iterator[FlaskClient]:
    app = create_app(EmbedderSettings.load(embedder_model="hashing"))
    yield app.test_client()
    app.extensions["close"]()


client = pytest.fixture(hashing_client, scope="module")
fresh_client = pytest.fixture(hashing_client)


def vectors_of(response: TestResponse) -> np.ndarray[Any, Any]:
    assert response.status_code == 200, response.get_data(as_text=True)
    return np.array([entry["embedding"] for entry in response.get_json()["data"]], dtype=np.float32)


def test_the_answer_has_the_openai_shape(client: FlaskClient) -> None:
    response = client.post(URL, json={"input": ["two words", "three more words"], "user": "u1"})
    document = response.get_json()
    np.testing.assert_allclose(
        vectors_of(response), ENCODER.encode(["two words", "three more words"]), atol=1e-6
    )
    assert [(e["object"], e["index"]) for e in document["data"]] == [("embedding", 0), ("embedding", 1)]
    assert document["object"] == "list"
    assert document["model"] == "hashing-384@1"
    assert document["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_a_string_is_a_list_of_one(client: FlaskClient) -> None:
    one = vectors_of(client.post(URL, json={"input": "a text"}))
    np.testing.assert_array_equal(one, vectors_of(client.post(URL, json={"input": ["a text"]})))


def test_base64_is_little_endian_float32(client: FlaskClient) -> None:
    response = client.post(URL, json={"input": ["a", "b"], "encoding_format": "base64"})
    rows = [np.frombuffer(base64.b64decode(e["embedding"]), "<f4") for e in response.get_json()["data"]]
    np.testing.assert_array_equal(np.stack(rows), ENCODER.encode(["a", "b"]))


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_fewer_dimensions_are_a_prefix_of_norm_one(client: FlaskClient, encoding_format: str) -> None:
    response = client.post(
        URL, json={"input": ["a long enough text"], "dimensions": 100, "encoding_format": encoding_format}
    )
    embedding = response.get_json()["data"][0]["embedding"]
    if encoding_format == "base64":
        embedding = np.frombuffer(base64.b64decode(embedding), "<f4")
    prefix = ENCODER.encode(["a long enough text"])[0, :100]
    np.testing.assert_allclose(embedding, prefix / np.linalg.norm(prefix), atol=1e-6)


@pytest.mark.parametrize("model", [None, "hashing", "hashing-384", "hashing-384@1"])
def test_the_served_model_may_be_named_in_each_way(client: FlaskClient, model: str | None) -> None:
    assert client.post(URL, json={"input": "a", "model": model}).status_code == 200


@pytest.mark.parametrize(
    "text", ["NUL \0 inside", "   ", "\n", "🦜" * 500, "عربى 漢字", "\u202eabc", "a" * 5000]
)
def test_odd_texts_get_unit_vectors(client: FlaskClient, text: str) -> None:
    np.testing.assert_allclose(
        np.linalg.norm(vectors_of(client.post(URL, json={"input": text}))), 1, atol=1e-5
    )


@pytest.mark.slow
def test_2048_texts_are_served_in_order(client: FlaskClient) -> None:
    texts = [f"text number {n} " + "more " * (n % 7) for n in range(2048)]
    np.testing.assert_allclose(
        vectors_of(client.post(URL, json={"input": texts})), ENCODER.encode(texts), atol=1e-6
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 422, "missing", "input"),
        ({"input": []}, 422, "input_empty", "input"),
        ({"input": ""}, 422, "input_empty", "input/0"),
        ({"input": ["a", ""]}, 422, "input_empty", "input/1"),
        ({"input": ["a"] * 2049}, 422, "too_many_inputs", "input"),
        ({"input": [1, 2, 3]}, 422, "token_arrays", "input"),
        ({"input": [[1, 2], [3]]}, 422, "token_arrays", "input"),
        ({"input": 7}, 422, "input_type", "input"),
        ({"input": None}, 422, "input_type", "input"),
        ({"input": ["a", None]}, 422, "input_type", "input"),
        ({"input": [True]}, 422, "input_type", "input"),
        ({"input": {"text": "a"}}, 422, "input_type", "input"),
        ({"input": "a" * 100_001}, 422, "input_too_long", "input/0"),
        ({"input": "a", "dimensions": 385}, 422, "dimensions_too_large", "dimensions"),
        ({"input": "a", "dimensions": 0}, 422, "greater_than_equal", "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, 422, "literal_error", "encoding_format"),
        ({"input": "a", "model": "gpt-9"}, 404, "model_not_found", "model"),
        ({"input": "a", "temperature": 1}, 422, "extra_forbidden", "temperature"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    client: FlaskClient, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    response = client.post(URL, json=body)
    document = response.get_json()
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-ID"]
    assert document["error"]["code"] == code
    assert document["error"]["param"] == param
    assert document["error"]["type"] == "invalid_request_error"
    assert document["error"]["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body_empty"),
        (b'{"input": "a"', "json_malformed"),
        (b'["a"]', "json_not_an_object"),
        (b'{"input": "\\ud800"}', "json_malformed"),
        (b'{"input": "\xed\xa0\x80"}', "json_malformed"),
        (b'{"input": "\xff"}', "json_malformed"),
    ],
)
def test_what_cannot_be_read_is_a_400(client: FlaskClient, body: bytes, code: str) -> None:
    response = client.post(URL, data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["code"]) == (400, code)


def test_another_content_type_is_a_415_and_another_method_a_405(client: FlaskClient) -> None:
    assert client.post(URL, data=b'{"input":"a"}', content_type="text/plain").status_code == 415
    assert (
        client.post(URL, data=b'{"input":"a"}', content_type="application/json; charset=utf-8").status_code
        == 200
    )
    got = client.get(URL)
    assert got.status_code == 405
    assert "POST" in got.headers["Allow"]


def test_a_body_over_the_limit_is_a_413() -> None:
    app = create_app(EmbedderSettings.load(embedder_model="hashing", max_body_bytes=2000))
    response = app.test_client().post(URL, json={"input": "a" * 3000})
    app.extensions["close"]()
    assert (response.status_code, response.get_json()["code"]) == (413, "payload_too_large")


def test_a_text_of_5_mb_is_refused_without_being_quoted(client: FlaskClient) -> None:
    response = client.post(URL, json={"input": "secret " * 750_000})
    assert response.status_code == 422
    assert b"secret" not in response.data


def test_a_deadline_that_is_over_is_a_503(client: FlaskClient) -> None:
    response = client.post(URL, json={"input": ["a"] * 5}, headers={DEADLINE_HEADER: "0"})
    assert response.status_code == 503
    assert response.get_json()["code"] == "deadline_exceeded"
    assert int(response.headers["Retry-After"]) >= 1
    for ignored in ("soon", "-5", "9" * 5000, "1.5", "²"):
        assert client.post(URL, json={"input": "a"}, headers={DEADLINE_HEADER: ignored}).status_code == 200


def test_models_are_listed_and_found(client: FlaskClient) -> None:
    (model,) = client.get("/v1/models").get_json()["data"]
    assert model["id"] == "hashing-384@1"
    assert (model["object"], model["dimension"], model["max_tokens"]) == ("model", 384, 256)
    assert client.get("/v1/models/hashing-384@1").get_json() == model
    assert client.get("/v1/models/other").status_code == 404


def test_metrics_count_texts_tokens_cache_and_passes(fresh_client: FlaskClient) -> None:
    client = fresh_client
    client.post(URL, json={"input": ["two words", "a"]})
    client.post(URL, json={"input": ["two words", "a", "a", "new text"]})
    client.post(URL, json={"input": ["word " * 300]})
    registry = client.application.extensions["metrics"].registry

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"foreword_embedder_{name}", labels)

    assert value("texts_total") == 7
    assert value("tokens_total") == 3 + 6 + 256
    assert value("cache_lookups_total", result="hit") == 3
    assert value("cache_lookups_total", result="miss") == 3
    assert value("truncated_texts_total") == 1
    assert value("batch_size_texts_sum") == 4
    for stage in ("tokenise", "queue", "infer"):
        assert value("stage_duration_seconds_count", stage=stage) >= 3
    assert value("queue_depth_texts") == 0
    assert value("queue_depth_tokens") == 0


def test_probes_before_and_after_loading(client: FlaskClient) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").get_json()["parts"]["model"]["ready"] is True
