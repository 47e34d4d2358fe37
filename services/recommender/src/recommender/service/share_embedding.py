"""Embedding one hash share of the catalogue: many workers side by side do what one would, each asset once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from recommender.clients.embedder import EmbeddingFailed
from recommender.service.clock import Clock
from recommender.service.encoding import AssetEncoder, AssetText
from recommender.service.model_change import ModelChange
from recommender.store import embeddings
from recommender.store.assets import read_head
from recommender.store.embeddings import PendingAsset, Share
from servicekit.database import reading
from servicekit.errors import UpstreamUnavailable

_BLOCK = 64
_POLL_SECONDS = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ShareResult:
    """`refused` is what the embedder cannot encode; the recommender's loop tries those again by itself."""

    model_id: str
    embedded: int
    refused: int
    promoted: bool


class _ModelChanged(Exception):
    """The embedder serves another model than when this run began."""


class ShareEmbedder:
    """Works on what has no vector of the embedder's present model; what is stored already is left alone."""

    def __init__(
        self,
        engine: sa.Engine,
        encoder: AssetEncoder,
        change: ModelChange,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._engine = engine
        self._encoder = encoder
        self._change = change
        self._clock = clock
        self._sleep = sleep

    def run(self, share: Share, patience_seconds: float, told: Callable[[int], None]) -> ShareResult:
        """Until nothing of the share is pending. Raises UpstreamUnavailable when the embedder stays away.

        Leases are those of the recommender's own loop: the two never encode the same asset at once. What
        somebody else has leased is waited for, since it may have died with it.
        """
        while True:
            try:
                return self._run(share, patience_seconds, told)
            except _ModelChanged:
                continue  # all over with the new one: vectors of both are kept apart

    def _run(self, share: Share, patience_seconds: float, told: Callable[[int], None]) -> ShareResult:
        model_id = self._patiently(
            lambda: self._encoder.encode_sentences(["model"]).model_id, patience_seconds
        )
        embedded = refused = 0
        while True:
            with self._engine.begin() as connection:
                block = embeddings.claim_pending(connection, model_id, _BLOCK, self._clock(), share)
            if not block:
                with reading(self._engine) as connection:
                    if not embeddings.pending_in_share(connection, model_id, share):
                        break
                self._sleep(_POLL_SECONDS)
                continue
            done = self._patiently(partial(self._embed, block, model_id), patience_seconds)
            embedded += done
            refused += len(block) - done
            told(embedded)
        return ShareResult(model_id, embedded, refused, self._change.consider(model_id))

    def _embed(self, block: list[PendingAsset], model_id: str) -> int:
        """→ how many now have their vector. One text that is refused does not hold up the others."""
        try:
            encoded = self._encoder.encode_assets([AssetText(a.title, a.summary, a.body) for a in block])
        except EmbeddingFailed:
            if len(block) > 1:
                return sum(self._embed([asset], model_id) for asset in block)
            with self._engine.begin() as connection:
                embeddings.postpone(connection, [block[0].asset_id], self._clock())
            return 0
        with self._engine.begin() as connection:
            live = read_head(connection)[1]
            embeddings.save_embeddings(
                connection,
                encoded.model_id,
                [asset.asset_id for asset in block],
                [asset.text_hash for asset in block],
                encoded.vectors,
                self._clock(),
                announce=live in {None, encoded.model_id},
            )
        if encoded.model_id != model_id:
            raise _ModelChanged(encoded.model_id)
        return len(block)

    def _patiently(self, work: Callable[[], T], patience_seconds: float) -> T:
        waited = 0.0
        while True:
            try:
                return work()
            except UpstreamUnavailable:
                if waited >= patience_seconds:
                    raise
                self._sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
