"""How one model reads text: its tokenizer, where it cuts, and how texts of a pass are padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Only this much text for each token that can be read is tokenised: words are far shorter, and a megabyte
# would be tokenised only to be thrown away.
_CHARS_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Reader:
    """Everything between text and token arrays; plain data, so that it is kept beside a converted model."""

    tokenizer: Tokenizer
    max_tokens: int
    pad_id: int
    pads_left: bool
    prompt: str

    @classmethod
    def of(cls, definition: str, **about: Any) -> Reader:
        """From a tokenizer's JSON. A copy of its own: the library changes a shared one with every call."""
        from tokenizers import Tokenizer

        tokenizer: Tokenizer = Tokenizer.from_str(definition)
        tokenizer.no_padding()
        tokenizer.enable_truncation(about["max_tokens"])
        return cls(tokenizer, **about)

    def about(self) -> dict[str, Any]:
        """What `of` wants beside the tokenizer's JSON."""
        return {
            "max_tokens": self.max_tokens,
            "pad_id": self.pad_id,
            "pads_left": self.pads_left,
            "prompt": self.prompt,
        }

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        longest = self.max_tokens * _CHARS_PER_TOKEN
        encodings = self.tokenizer.encode_batch_fast([self.prompt + text[:longest] for text in texts])
        return [
            Tokens(
                np.array(encoding.ids, dtype=np.int64),
                len(encoding.ids),
                truncated=len(text) > longest or bool(encoding.overflowing),
            )
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def padded(self, batch: Sequence[Tokens]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids and attention mask, int64 [n, longest] each."""
        width = max(tokens.count for tokens in batch)
        ids = np.full((len(batch), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, tokens in enumerate(batch):
            where = slice(width - tokens.count, width) if self.pads_left else slice(0, tokens.count)
            ids[row, where] = tokens.ids
            mask[row, where] = 1
        return ids, mask
