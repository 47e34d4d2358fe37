"""This process's copy of the catalogue: loaded at start, followed by revision, never behind its readers.

Every reader brings the newest revision that the database showed it (`ensure`). A copy that is behind catches
up before the answer is made, so that a deleted asset is not served by any replica once its deletion was
acknowledged, with no message between replicas.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.index.catalogue_builder import AssetRow, CatalogueBuilder
from recommender.index.segmented import SegmentedIndex
from recommender.service.asset_stages import AssetStageEstimator
from recommender.store.assets import read_head
from recommender.store.embeddings import CatalogueChange, changes_since
from servicekit import logs
from servicekit.errors import UpstreamUnavailable

_DEFAULT_DIMENSION = 384
_BLOCK = 2_000

LoadPrototypes = Callable[[str], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one request works on from beginning to end."""

    catalogue: Catalogue
    index: SegmentedIndex
    stages_read_text: bool
    pages: Mapping[str, str]

    def asset_at(self, page: str) -> str | None:
        """The living asset whose URL has this `url_key`."""
        asset_id = self.pages.get(page)
        return asset_id if asset_id in self.catalogue.row_of else None


class CatalogueReplica:
    """Holds the newest snapshot; `ensure` and `catch_up` move it on, one thread at a time."""

    def __init__(
        self,
        engine: sa.Engine,
        estimator_of: Callable[[NDArray[np.float32] | None], AssetStageEstimator],
        load_prototypes: LoadPrototypes,
    ) -> None:
        self._engine = engine
        self._estimator_of = estimator_of
        self._load_prototypes = load_prototypes
        self._lock = threading.Lock()
        self._log = logs.get("recommender")
        self._estimator = estimator_of(None)
        self._builder = CatalogueBuilder(_DEFAULT_DIMENSION, None)
        self._snapshot: Snapshot | None = None
        self.applied_at = 0.0

    @property
    def loaded(self) -> bool:
        return self._snapshot is not None

    @property
    def snapshot(self) -> Snapshot:
        """The newest picture; before the first load it is empty."""
        if self._snapshot is None:
            empty = CatalogueBuilder(_DEFAULT_DIMENSION, None).publish(-1)
            return Snapshot(empty, SegmentedIndex.empty(_DEFAULT_DIMENSION), False, {})
        return self._snapshot

    def ensure(self, connection: sa.Connection, revision: int, live_model: str | None) -> Snapshot:
        """A snapshot at `revision` or later, with this model's vectors."""
        snapshot = self._snapshot
        if (
            snapshot is not None
            and snapshot.catalogue.revision >= revision
            and snapshot.catalogue.model_id == live_model
        ):
            return snapshot
        return self.catch_up(connection)

    def catch_up(self, connection: sa.Connection | None = None) -> Snapshot:
        """Apply every change since the last snapshot; a new model or many dead rows build it anew."""
        if connection is None:
            with self._engine.connect() as own:
                return self.catch_up(own)
        with self._lock:
            revision, live_model = read_head(connection)
            current = self._snapshot
            rebuild = current is None or current.catalogue.model_id != live_model
            if current is not None and not rebuild and current.catalogue.revision >= revision:
                return current
            if rebuild or self._builder.needs_compaction:
                current = None
                dimension = _dimension_of(connection, live_model)
                self._estimator = self._make_estimator(live_model)
                self._builder = CatalogueBuilder(dimension, live_model)
            since = -1 if current is None else current.catalogue.revision
            started = time.perf_counter()
            count = self._apply(changes_since(connection, since, live_model))
            catalogue = self._builder.publish(revision)
            grown = SegmentedIndex.empty(self._builder.dimension) if current is None else current.index
            index = grown.grown_to(catalogue.vectors)
            self._snapshot = Snapshot(catalogue, index, self._estimator.reads_text, self._builder.pages)
            self.applied_at = time.monotonic()
            if current is None:
                seconds = round(time.perf_counter() - started, 3)
                self._log.info("catalogue_loaded", assets=count, revision=revision, seconds=seconds)
            return self._snapshot

    def refresh_stages(self) -> None:
        """Read the asset stages from text as soon as the prototypes can be had (embedder back)."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.stages_read_text or snapshot.catalogue.model_id is None:
            return
        estimator = self._make_estimator(snapshot.catalogue.model_id)
        if estimator.reads_text:
            with self._lock:
                self._snapshot = None
            self.catch_up()

    def _make_estimator(self, live_model: str | None) -> AssetStageEstimator:
        if live_model is None:
            return self._estimator_of(None)
        try:
            return self._estimator_of(self._load_prototypes(live_model))
        except UpstreamUnavailable:
            self._log.warning("prototypes_missing", model=live_model)
            return self._estimator_of(None)

    def _apply(self, changes: Iterable[CatalogueChange]) -> int:
        block: list[CatalogueChange] = []
        count = 0
        for change in changes:
            block.append(change)
            if len(block) == _BLOCK:
                count += self._apply_block(block)
                block = []
        return count + self._apply_block(block)

    def _apply_block(self, block: list[CatalogueChange]) -> int:
        for change in block:
            if change.card is None:
                self._builder.remove(change.asset_id)
        living = [change for change in block if change.card is not None]
        stages = self._estimator.estimate(living)
        for change, stage in zip(living, stages, strict=True):
            if change.card is not None:
                self._builder.put(
                    AssetRow(
                        change.card,
                        change.approved,
                        change.publish_at,
                        change.expires_at,
                        change.published_at,
                        stage,
                        change.vector,
                    )
                )
        return len(living)


def _dimension_of(connection: sa.Connection, model_id: str | None) -> int:
    found = connection.exec_driver_sql(
        "SELECT octet_length(vector) / 4 FROM recommender.embeddings WHERE model_id = %s LIMIT 1", (model_id,)
    ).scalar_one_or_none()
    return int(found) if found else _DEFAULT_DIMENSION
