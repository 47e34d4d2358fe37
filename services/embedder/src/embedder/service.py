"""The served model from its loading to its end: cache, tokeniser and micro-batcher behind one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedder.batching import MicroBatcher
from embedder.cache import VectorCache
from embedder.cpus import available_cpus
from embedder.encoder import Encoder, ModelUnusable, Vectors
from embedder.meters import Meters
from embedder.settings import EmbedderSettings
from servicekit.errors import Unavailable

# An import must not push the queries out of the cache, so only small requests of short texts use it.
_CACHED_REQUEST_TEXTS = 4
_CACHED_TEXT_CHARS = 512


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors float32 [n, dimension] of norm 1, and the tokens that were read for them."""

    vectors: Vectors
    token_count: int


@dataclass(frozen=True, slots=True)
class _Serving:
    encoder: Encoder
    batcher: MicroBatcher


class EmbedderService:
    """`load_once` makes it ready; before that `encode` raises Unavailable and `problem` says why."""

    def __init__(
        self,
        settings: EmbedderSettings,
        meters: Meters,
        load: Callable[[], Encoder],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._meters = meters
        self._load = load
        self._clock = clock
        self._cache = VectorCache(settings.embedder_cache_texts)
        self._loading = threading.Lock()
        self._serving: _Serving | None = None
        self.problem = "The model is being loaded."

    def load_once(self) -> None:
        """Load the model and run one pass, unless that is done. Raises ModelUnusable; may be tried again."""
        with self._loading:
            if self._serving is not None:
                return
            try:
                encoder = self._load()
                encoder.encode(["warm up"])
            except ModelUnusable as error:
                self.problem = str(error)
                raise
            except Exception as error:
                self.problem = f"The model cannot be loaded ({type(error).__name__}); the log says more."
                raise
            threads = self._settings.embedder_threads or available_cpus()
            batcher = MicroBatcher(
                encoder,
                self._meters,
                token_budget=self._settings.embedder_token_budget,
                queue_tokens=self._settings.embedder_queue_tokens,
                runners=max(1, threads // self._settings.embedder_threads_per_forward),
                clock=self._clock,
            )
            self._meters.model.labels(encoder.model_id).set(1)
            self._serving = _Serving(encoder, batcher)
            self.problem = ""

    @property
    def ready(self) -> bool:
        return self._serving is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder that serves; raises Unavailable (`model_loading`) before there is one."""
        return self._require().encoder

    def encode(self, texts: Sequence[str], *, wait_seconds: float | None = None) -> Encoded:
        """Vectors in the order of the texts, within `wait_seconds`; raises as `MicroBatcher.encode` does."""
        serving = self._require()
        longest_wait = self._settings.embedder_max_wait_seconds
        expires_at = self._clock() + min(longest_wait, longest_wait if wait_seconds is None else wait_seconds)
        cacheable = len(texts) <= _CACHED_REQUEST_TEXTS and all(len(t) <= _CACHED_TEXT_CHARS for t in texts)
        if not cacheable:
            return self._encode(serving, texts, expires_at)[0]
        return self._encode_cached(serving, texts, expires_at)

    def close(self) -> None:
        if self._serving is not None:
            self._serving.batcher.close()

    def _require(self) -> _Serving:
        if self._serving is None:
            self._meters.refusals.labels("model_loading").inc()
            raise Unavailable("The model is not ready to serve yet.", code="model_loading")
        return self._serving

    def _encode(
        self, serving: _Serving, texts: Sequence[str], expires_at: float
    ) -> tuple[Encoded, list[int]]:
        with self._meters.stage_seconds.labels("tokenise").time():
            tokens = serving.encoder.tokenise(texts)
        vectors = serving.batcher.encode(tokens, expires_at=expires_at)
        counts = [t.count for t in tokens]
        self._meters.truncated.inc(sum(t.truncated for t in tokens))
        self._answered(len(texts), sum(counts))
        return Encoded(vectors, sum(counts)), counts

    def _encode_cached(self, serving: _Serving, texts: Sequence[str], expires_at: float) -> Encoded:
        known = {text: found for text in set(texts) if (found := self._cache.get(text)) is not None}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        self._meters.cached.labels("hit").inc(len(texts) - len(new))
        self._meters.cached.labels("miss").inc(len(new))
        if new:
            encoded, counts = self._encode(serving, new, expires_at)
            for text, vector, count in zip(new, encoded.vectors, counts, strict=True):
                self._cache.put(text, vector, count)
                known[text] = (vector, count)
        vectors = np.stack([known[text][0] for text in texts])
        token_count = sum(known[text][1] for text in texts)
        self._answered(len(texts) - len(new), token_count - sum(known[text][1] for text in new))
        return Encoded(vectors, token_count)

    def _answered(self, texts: int, tokens: int) -> None:
        self._meters.texts.inc(texts)
        self._meters.tokens.inc(tokens)
