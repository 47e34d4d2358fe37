"""Encodes with a sentence-transformers model on the CPU. torch is imported here, when a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import ModelUnusable, Tokens, Vectors, normalised, token_counts
from embedder.passes import encode_in_passes
from embedder.reading import Reader

_PROBE = ("Which CRM fits a mid-sized manufacturer?", "Ein kurzer Text.")
_TOLERANCE = 1e-4


class SentenceTransformerEncoder:
    """One model, shared by many threads; `forward` may run several times at once, each on its own threads."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        revision: str,
        threads: int = 1,
        token_budget: int = 1024,
        bfloat16: bool = False,
    ) -> None:
        """Load from `folder`. Raises ModelUnusable when our passes disagree with the library's own."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self._torch = torch
        self._bfloat16 = False
        self._budget = token_budget
        try:
            self.model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelUnusable(f"The model in {folder} cannot be loaded: {error}") from error
        self.model.eval()
        self.name = name
        self.revision = revision
        self.model_id = f"{name}@{revision}"
        self.dimension = int(self.model.get_embedding_dimension() or 0)
        self.max_tokens = int(self.model.max_seq_length or 512)
        self.reader = self._reader()
        self._require_agreement()
        self._bfloat16 = bfloat16

    def in_bfloat16(self) -> SentenceTransformerEncoder:
        """The same model, loaded once, with its forward passes in bfloat16."""
        other = object.__new__(SentenceTransformerEncoder)
        other.__dict__.update(self.__dict__)
        other._bfloat16 = True
        return other

    def _reader(self) -> Reader:
        tokenizer = self.model.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelUnusable("The model has no fast tokenizer, which this service needs.")
        return Reader.of(
            backend.to_str(),
            max_tokens=self.max_tokens,
            pad_id=int(tokenizer.pad_token_id or 0),
            pads_left=tokenizer.padding_side == "left",
            prompt=self.model.prompts.get(self.model.default_prompt_name or "") or "",
        )

    def _require_agreement(self) -> None:
        """Encode two texts both ways: a model with steps of its own that we skip must not serve."""
        expected = self.model.encode(
            list(_PROBE), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        apart = float(np.abs(self.encode(_PROBE) - expected).max())
        if not apart <= _TOLERANCE:
            raise ModelUnusable(
                f"The model {self.model_id} needs steps that this service does not take: "
                f"its vectors differ by {apart:.2g} from the library's."
            )

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        return self.reader.tokenise(texts)

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        torch = self._torch
        ids, mask = self.reader.padded(batch)
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            vectors = self.model(features)["sentence_embedding"]
        return normalised(vectors.float().numpy())

    def encode(self, texts: Sequence[str]) -> Vectors:
        return encode_in_passes(self, texts, self._budget)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return token_counts(self.tokenise(texts))
