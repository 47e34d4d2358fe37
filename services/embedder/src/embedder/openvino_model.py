"""A model converted to OpenVINO: made once from the torch one, kept on disk, served without torch."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from embedder.encoder import ModelUnusable, Tokens, Vectors, normalised, token_counts
from embedder.passes import encode_in_passes
from embedder.reading import Reader
from embedder.sentence_transformer import SentenceTransformerEncoder

_MODEL, _TOKENIZER, _ABOUT = "model.xml", "tokenizer.json", "about.json"


def library() -> Any:
    """OpenVINO without its reports: as installed it tells its maker of each import and conversion.

    It works without the package that does so, and Foreword calls nobody whom its operator has not named.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def converter_version() -> str:
    """Part of the folder's name: what another version converted is converted anew."""
    return str(library().__version__.split("-")[0])


def knows_bfloat16() -> bool:
    """Whether this CPU has instructions for it (AMX or AVX512-BF16); emulated it would be slow."""
    return "BF16" in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def convert(encoder: SentenceTransformerEncoder, folder: Path) -> None:
    """Write the whole model, from token ids to pooled vectors, into `folder`. Raises ModelUnusable.

    Written beside and then renamed: a folder that is there is whole, also when two start at once.
    """
    draft = folder.with_name(f"{folder.name}.{threading.get_native_id()}.new")
    about = {"name": encoder.name, "revision": encoder.revision, "dimension": encoder.dimension}
    try:
        model = _traced(encoder)
        draft.mkdir(parents=True, exist_ok=True)
        library().save_model(model, draft / _MODEL, compress_to_fp16=False)
        (draft / _TOKENIZER).write_text(encoder.reader.tokenizer.to_str())
        (draft / _ABOUT).write_bytes(orjson.dumps({**about, "reader": encoder.reader.about()}))
        if folder.exists():
            shutil.rmtree(draft)
        else:
            draft.rename(folder)
    except Exception as error:
        # The converter raises what it likes for a model with an operation that it does not know.
        raise ModelUnusable(f"OpenVINO cannot convert this model ({type(error).__name__}).") from error


def _traced(encoder: SentenceTransformerEncoder) -> Any:
    """The pipeline as a graph from two arrays (int64 [n, t] each) to vectors (float32 [n, d])."""
    import torch

    class Pipeline(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            found = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
            return found["sentence_embedding"]

    ids, mask = encoder.reader.padded(encoder.tokenise(["An example of a text", "Another"]))
    openvino = library()
    any_shape = ([-1, -1], openvino.Type.i64)
    logger = logging.getLogger("sentence_transformers")
    told = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing warns of every branch it takes; the self-test judges what came of it.
            warnings.simplefilter("ignore")
            return openvino.convert_model(
                Pipeline(encoder.model),
                example_input=(torch.from_numpy(ids), torch.from_numpy(mask)),
                input=[any_shape, any_shape],
            )
    finally:
        logger.setLevel(told)


class OpenVinoEncoder:
    """`streams` passes run side by side, each on `threads` threads; a calling thread has its own request."""

    def __init__(
        self, folder: Path, *, bfloat16: bool, streams: int = 1, threads: int = 1, token_budget: int = 1024
    ) -> None:
        """Load what `convert` wrote. Raises ModelUnusable when it cannot be read."""
        try:
            about = orjson.loads((folder / _ABOUT).read_bytes())
            self.reader = Reader.of((folder / _TOKENIZER).read_text(), **about["reader"])
            self._compiled: Any = (
                library()
                .Core()
                .compile_model(
                    folder / _MODEL,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
                        "NUM_STREAMS": streams,
                        "INFERENCE_NUM_THREADS": streams * threads,
                    },
                )
            )
        except (OSError, KeyError, orjson.JSONDecodeError, RuntimeError) as error:
            raise ModelUnusable(f"The converted model in {folder} cannot be read: {error}") from error
        self._own = threading.local()
        self._budget = token_budget
        self.revision = str(about["revision"])
        self.model_id = f"{about['name']}@{self.revision}"
        self.dimension = int(about["dimension"])
        self.max_tokens = self.reader.max_tokens

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        return self.reader.tokenise(texts)

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        # The answer lies in the request's own memory until its next pass: `normalised` copies.
        return normalised(request.infer(list(self.reader.padded(batch)))[0])

    def encode(self, texts: Sequence[str]) -> Vectors:
        return encode_in_passes(self, texts, self._budget)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return token_counts(self.tokenise(texts))
