"""The loop that makes embeddings agree with the catalogue, whatever went wrong before."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa
from prometheus_client import Histogram

from recommender.clients.embedder import EmbeddingFailed
from recommender.service.clock import Clock
from recommender.service.embedding_backlog import EmbeddingBacklog
from recommender.service.encoding import AssetEncoder, AssetText
from recommender.service.model_change import ModelChange
from recommender.service.replica import CatalogueReplica
from recommender.store import embeddings
from recommender.store.assets import lock_head, read_head
from recommender.store.embeddings import PendingAsset
from servicekit import logs
from servicekit.errors import UpstreamUnavailable

_BLOCK = 32
_FORGOTTEN = 5_000
_FORGETTING = timedelta(minutes=10)


class Reconciler:
    """Embeds what has no vector of the embedder's present model; promotes that model once it is complete."""

    def __init__(
        self,
        engine: sa.Engine,
        encoder: AssetEncoder,
        replica: CatalogueReplica,
        change: ModelChange,
        clock: Clock,
        backlog: EmbeddingBacklog,
        servable_seconds: Histogram,
        *,
        keep_old_vectors_seconds: float,
    ) -> None:
        self._engine = engine
        self._encoder = encoder
        self._replica = replica
        self._change = change
        self._clock = clock
        self._backlog = backlog
        self._servable = servable_seconds
        self._keep_seconds = keep_old_vectors_seconds
        self._forgot_at: datetime | None = None
        self._log = logs.get("recommender")

    def step(self) -> None:
        """Work until nothing is pending, then report the backlog.

        Raises UpstreamUnavailable if it must wait.
        """
        self._backlog.report()
        model_id = self._encoder.encode_sentences(["model"]).model_id
        while self._embed_block(model_id):
            self._backlog.report_now_and_then()
        if self._change.consider(model_id):  # while another is on its way, nothing is thrown away
            self._forget_old_models(model_id)
        self._replica.catch_up()
        self._replica.refresh_stages()
        self._backlog.report()

    def _forget_old_models(self, model_id: str) -> None:
        """Now and then, as it reads the whole table; in blocks, so that no transaction is long."""
        now = self._clock()
        if self._forgot_at is not None and now - self._forgot_at < _FORGETTING:
            return
        self._forgot_at = now
        while True:
            with self._engine.begin() as connection:
                deleted = embeddings.forget_old_models(
                    connection, model_id, keep_seconds=self._keep_seconds, limit=_FORGOTTEN
                )
            if deleted:
                self._log.info("old_vectors_deleted", vectors=deleted)
            if deleted < _FORGOTTEN:
                return

    def _embed_block(self, model_id: str) -> bool:
        """→ whether there may be more to do; not when the embedder changed its model meanwhile."""
        now = self._clock()
        with self._engine.begin() as connection:
            settled = self._backlog.settled(model_id)
            pending = embeddings.claim_pending(connection, model_id, _BLOCK, now, settled=settled)
        if not pending:
            return False
        try:
            done = self._encode(pending)
        except UpstreamUnavailable:
            with self._engine.begin() as connection:
                embeddings.give_back(connection, [asset.asset_id for asset in pending])
            raise
        refused = [asset.asset_id for asset in pending if asset.asset_id not in done]
        with self._engine.begin() as connection:
            # Every writer takes the head first, so that none waits for another in a circle.
            lock_head(connection)
            live = read_head(connection)[1]
            if refused:
                embeddings.postpone(connection, refused, now)
            for made_by in {made_by for _, made_by in done.values()}:
                given = [
                    asset
                    for asset in pending
                    if asset.asset_id in done and done[asset.asset_id][1] == made_by
                ]
                embeddings.save_embeddings(
                    connection,
                    made_by,
                    [asset.asset_id for asset in given],
                    [asset.text_hash for asset in given],
                    np.concatenate([done[asset.asset_id][0] for asset in given]),
                    now,
                    announce=live in {None, made_by},
                )
        if live in {None, model_id}:
            for asset in pending:
                if asset.asset_id in done:
                    self._servable.observe(max(0.0, (self._clock() - asset.updated_at).total_seconds()))
        return all(made_by == model_id for _, made_by in done.values())

    def _encode(self, pending: list[PendingAsset]) -> dict[str, tuple[embeddings.Vectors, str]]:
        """Vectors [1, d] by asset id; one text that the embedder refuses does not hold up the others."""
        try:
            encoded = self._encoder.encode_assets([_text(asset) for asset in pending])
            return {
                asset.asset_id: (encoded.vectors[i : i + 1], encoded.model_id)
                for i, asset in enumerate(pending)
            }
        except EmbeddingFailed:
            if len(pending) == 1:
                self._log.warning("embedding_refused", asset_id=pending[0].asset_id)
                return {}
            return {k: v for asset in pending for k, v in self._encode([asset]).items()}


def _text(asset: PendingAsset) -> AssetText:
    return AssetText(asset.title, asset.summary, asset.body)
