"""Which model is loaded, how its revision is named, and that no torch comes in where none is needed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from embedder.app import create_app
from embedder.encoder import ModelUnusable
from embedder.hashing import HashingEncoder
from embedder.loading import digest, hashing_encoder, load
from embedder.settings import EmbedderSettings
from servicekit.settings import SettingsInvalid


def test_hashing_is_chosen_by_name() -> None:
    assert load(EmbedderSettings.load(embedder_model="hashing")).dimension == 384
    assert load(EmbedderSettings.load(embedder_model="hashing-64")).model_id == "hashing-64@1"
    assert hashing_encoder("hashing-x") is None


def test_a_folder_that_is_not_there_is_one_clear_sentence() -> None:
    with pytest.raises(ModelUnusable, match=r"There is no folder \./nowhere"):
        load(EmbedderSettings.load(embedder_model="./nowhere"))


def test_the_revision_follows_what_decides_a_vector_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pooling").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "pooling" / "config.json").write_text("{}")
    first = digest(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert digest(tmp_path) == first
    (tmp_path / "pooling" / "config.json").write_text('{"mean": true}')
    second = digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"others!")
    assert len({first, second, digest(tmp_path)}) == 3


def test_a_model_that_cannot_be_loaded_leaves_the_process_alive_and_unready() -> None:
    app = create_app(EmbedderSettings.load(embedder_model="/nowhere/model"))
    client = app.test_client()
    detail = ""
    for _ in range(5000):
        detail = client.get("/readyz").get_json()["parts"]["model"]["detail"]
        if "no folder" in detail:
            break
        time.sleep(0.002)
    assert detail == "There is no folder /nowhere/model."
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    response = client.post("/v1/embeddings", json={"input": "a"})
    assert (response.status_code, response.get_json()["code"]) == (503, "model_loading")
    assert response.headers["Retry-After"]
    app.extensions["close"]()


def test_wrong_settings_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWORD_EMBEDDER_DTYPE", "int8")
    monkeypatch.setenv("FOREWORD_EMBEDDER_MAX_INPUTS", "5000")
    with pytest.raises(SettingsInvalid) as wrong:
        EmbedderSettings.load()
    assert "FOREWORD_EMBEDDER_DTYPE" in str(wrong.value)
    assert "FOREWORD_EMBEDDER_MAX_INPUTS" in str(wrong.value)


def test_each_setting_is_described() -> None:
    assert all(field.description for field in EmbedderSettings.model_fields.values())


def test_a_given_encoder_serves_at_once() -> None:
    app = create_app(EmbedderSettings.load(), encoder=HashingEncoder(16))
    assert app.test_client().post("/v1/embeddings", json={"input": "a"}).get_json()["model"] == "hashing-16@1"
    app.extensions["close"]()


@pytest.mark.slow
def test_serving_with_hashing_never_imports_torch() -> None:
    program = """
import sys
from embedder.app import create_app
from embedder.settings import EmbedderSettings
app = create_app(EmbedderSettings.load(embedder_model="hashing"))
assert app.test_client().post("/v1/embeddings", json={"input": ["a", "b"]}).status_code == 200
app.extensions["close"]()
heavy = {"torch", "transformers", "sentence_transformers", "tokenizers", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
