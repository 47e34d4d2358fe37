"""What an operator can set about the embedder; read once, frozen, each with its reason to be changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from servicekit.settings import Settings


class EmbedderSettings(Settings):
    """The environment name of each field is `FOREWORD_` and the field in capitals."""

    embedder_model: str = Field(
        "all-MiniLM-L6-v2",
        min_length=1,
        description=(
            "Which model serves: all-MiniLM-L6-v2 from the installed package, any sentence-transformers "
            "name, a folder, or `hashing` / `hashing-<dimension>` for the small encoder that needs no torch."
        ),
    )
    embedder_revision: str = Field(
        "", description="Branch, tag or commit of a model that is fetched by name; empty means its default."
    )
    embedder_threads: int = Field(
        0, ge=0, le=256, description="CPU threads inference may use; 0 means what this container is given."
    )
    embedder_threads_per_forward: int = Field(
        1,
        ge=1,
        le=64,
        description="Threads inside one forward pass; threads divided by this many passes run side by side.",
    )
    embedder_token_budget: int = Field(
        1024,
        ge=16,
        le=1_000_000,
        description=(
            "Most tokens, padding included, in one forward pass. A query waits for a pass at most, so larger "
            "is slower for it; bfloat16 gains from 2048."
        ),
    )
    embedder_engine: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description=(
            "What computes the forward pass; auto lets a self-test choose the fastest that finds the same "
            "neighbours as torch in float32, and remembers it."
        ),
    )
    embedder_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Arithmetic of the forward pass; bfloat16 is several times faster on CPUs with AMX.",
    )
    embedder_cache_dir: str = Field(
        "",
        description=(
            "Where converted models and the self-test's choice are kept, so that a start takes seconds; "
            "empty means ~/.cache/foreword."
        ),
    )
    embedder_queue_tokens: int = Field(
        131_072,
        ge=1,
        description="Tokens that may wait; a request beyond that is refused with 503 unless nothing waits.",
    )
    embedder_max_inputs: int = Field(2048, ge=1, le=2048, description="Most texts in one request.")
    embedder_max_input_chars: int = Field(
        100_000, ge=1, description="Longest single text; longer ones are refused, not cut."
    )
    embedder_max_wait_seconds: float = Field(
        300.0, gt=0, description="How long a request without a deadline of its own may wait for its vectors."
    )
    embedder_cache_texts: int = Field(
        4096,
        ge=0,
        description="Vectors of recent short texts that are kept, for repeated queries; 0 is none.",
    )
