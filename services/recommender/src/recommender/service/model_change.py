"""From one embedding model to the next: complete, held against the one that serves, then promoted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.index.segmented import SegmentedIndex
from recommender.numeric.model_comparison import ModelComparison, compare_models
from recommender.service.asset_stages import AssetStageEstimator
from recommender.service.clock import Clock
from recommender.store import embeddings, model_changes
from recommender.store.embeddings import CatalogueChange
from servicekit import logs
from servicekit.database import reading

_COMPARED_AGAIN = timedelta(minutes=10)


class ModelChange:
    """`consider` promotes a coming model once it may serve; called again and again by whoever embeds."""

    def __init__(
        self,
        engine: sa.Engine,
        estimator_of: Callable[[str], AssetStageEstimator],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._estimator_of = estimator_of
        self._clock = clock
        self._refused: tuple[str, datetime] | None = None
        self._log = logs.get("recommender")

    def consider(self, model_id: str) -> bool:
        """→ whether this model is live now.

        Not while an asset has no vector of it, nor when it was taken back, nor when it compares badly with
        the one that serves: then a person decides (`foreword model promote`).
        """
        with reading(self._engine) as connection:
            state = model_changes.read_models(connection)
            if state.live == model_id:
                return True
            if state.held == model_id or not model_changes.is_complete(connection, model_id):
                return False
        if state.live is not None and not self._compares_well(state.live, model_id):
            return False
        return self.promote(model_id)

    def promote(self, model_id: str) -> bool:
        """Serve it if it is complete, however it compares. → whether it is live now."""
        with self._engine.begin() as connection:
            before = model_changes.read_models(connection).live
            promoted = embeddings.promote_model(connection, model_id)
            if promoted:
                model_changes.release(connection, model_id)
        if promoted and before != model_id:
            self._log.info("model_promoted", model=model_id, before=before)
        return promoted

    def _compares_well(self, live: str, model_id: str) -> bool:
        now = self._clock()
        if self._refused is not None:
            refused, at = self._refused
            if refused == model_id and timedelta(0) <= now - at < _COMPARED_AGAIN:
                return False
        found = self.compare(live, model_id)
        self._refused = None if found.passed else (model_id, now)
        if not found.passed:
            self._log.warning("model_not_promoted", model=model_id, live=live, findings=list(found.findings))
        return found.passed

    def compare(self, live: str, model_id: str) -> ModelComparison:
        """Build the coming index beside the one that serves and hold the two against each other."""
        with reading(self._engine) as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            pairs = list(model_changes.vector_pairs(connection, live, model_id))
            ids = {pair[0] for pair in pairs}
            old = self._stages(connection, live, ids)
            new = self._stages(connection, model_id, ids)
        width = (len(pairs[0][1]), len(pairs[0][2])) if pairs else (1, 1)
        before = np.stack([p[1] for p in pairs]) if pairs else np.empty((0, width[0]), np.float32)
        coming = np.stack([p[2] for p in pairs]) if pairs else np.empty((0, width[1]), np.float32)
        index = SegmentedIndex.empty(width[1]).grown_to(coming)
        found = compare_models(before, coming, index, old, new, np.random.default_rng(0))
        with self._engine.begin() as connection:
            model_changes.save_comparison(connection, model_id, live, found, self._clock())
        self._log.info(
            "models_compared",
            model=model_id,
            live=live,
            assets=found.assets,
            overlap=round(found.overlap, 3),
            score_shift=round(found.score_shift, 3),
            stage_shift=round(found.stage_shift, 3),
            recall=round(found.recall, 3),
        )
        return found

    def _stages(self, connection: sa.Connection, model_id: str, ids: set[str]) -> NDArray[np.float32]:
        """float32 [n, 4]: what this model says of the stages of these assets."""
        wanted: list[CatalogueChange] = [
            change
            for change in embeddings.changes_since(connection, -1, model_id)
            if change.asset_id in ids and change.card is not None
        ]
        return self._estimator_of(model_id).estimate(wanted)
