"""Encodes with a sentence-transformers model on the CPU. torch is imported here, when a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import ModelUnusable, Tokens, Vectors, normalised, token_counts
from embedder.passes import encode_in_passes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Only this much text for each token that can be read is tokenised: words are far shorter, and a megabyte
# would be tokenised only to be thrown away.
_CHARS_PER_TOKEN = 32
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
        dtype: str = "float32",
        threads: int = 1,
        token_budget: int = 1024,
    ) -> None:
        """Load from `folder`. Raises ModelUnusable when our passes disagree with the library's own."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self._torch = torch
        self._bfloat16 = dtype == "bfloat16"
        self._budget = token_budget
        try:
            self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelUnusable(f"The model in {folder} cannot be loaded: {error}") from error
        self._model.eval()
        self.revision = revision
        self.model_id = f"{name}@{revision}"
        self.dimension = int(self._model.get_embedding_dimension() or 0)
        self.max_tokens = int(self._model.max_seq_length or 512)
        self._tokenizer = self._own_tokenizer()
        self._pad_id = int(self._model.tokenizer.pad_token_id or 0)
        self._pads_left = self._model.tokenizer.padding_side == "left"
        self._prompt: str = self._model.prompts.get(self._model.default_prompt_name or "") or ""
        self._require_agreement()

    def _own_tokenizer(self) -> Tokenizer:
        """A copy with truncation and padding set for good: the shared one is changed by every call."""
        from tokenizers import Tokenizer

        backend = getattr(self._model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelUnusable("The model has no fast tokenizer, which this service needs.")
        tokenizer: Tokenizer = Tokenizer.from_str(backend.to_str())
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    def _require_agreement(self) -> None:
        """Encode two texts both ways: a model with steps of its own that we skip must not serve."""
        expected = self._model.encode(
            list(_PROBE), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        exact, self._bfloat16 = self._bfloat16, False
        apart = float(np.abs(self.encode(_PROBE) - expected).max())
        self._bfloat16 = exact
        if not apart <= _TOLERANCE:
            raise ModelUnusable(
                f"The model {self.model_id} needs steps that this service does not take: "
                f"its vectors differ by {apart:.2g} from the library's."
            )

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        longest = self.max_tokens * _CHARS_PER_TOKEN
        cut = [self._prompt + text[:longest] for text in texts]
        encodings = self._tokenizer.encode_batch_fast(cut)
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int64),
                len(encoding.ids),
                truncated=len(text) > longest or bool(encoding.overflowing),
            )
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        torch = self._torch
        ids, mask = self._padded(batch)
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            vectors = self._model(features)["sentence_embedding"]
        return normalised(vectors.float().numpy())

    def _padded(self, batch: Sequence[Tokens]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids and attention mask, int64 [n, longest] each."""
        width = max(tokens.count for tokens in batch)
        ids = np.full((len(batch), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, tokens in enumerate(batch):
            where = slice(width - tokens.count, width) if self._pads_left else slice(0, tokens.count)
            ids[row, where] = tokens.ids
            mask[row, where] = 1
        return ids, mask

    def encode(self, texts: Sequence[str]) -> Vectors:
        return encode_in_passes(self, texts, self._budget)

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return token_counts(self.tokenise(texts))
