"""This process's copy of the catalogue: loaded at start, followed by revision, never behind its readers.

Every reader brings the newest revision that the database showed it (`ensure`). A copy that is behind catches
up before the answer is made, so that a deleted asset is not served by any replica once its deletion was
acknowledged, with no message between replicas.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.index.approximate import FEW, ApproximateIndex, KeptIndex, kept, restored
from recommender.index.catalogue_builder import CatalogueBuilder, LivingRows
from recommender.index.catalogue_index import CatalogueIndex
from recommender.index.snapshot import SnapshotMark
from recommender.index.word_index import WordIndex
from recommender.service.asset_stages import AssetStageEstimator
from recommender.service.catalogue_loading import (
    DEFAULT_DIMENSION,
    apply_changes,
    dimension_of,
    without_cycle_collection,
)
from recommender.service.meters import CatalogueMeters
from recommender.service.snapshots import SnapshotKeeper
from recommender.store.assets import read_head
from recommender.store.embeddings import changes_since, newest_edit_age
from servicekit import logs
from servicekit.database import reading
from servicekit.errors import Unavailable, UpstreamUnavailable

LoadPrototypes = Callable[[str], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one request works on from beginning to end."""

    catalogue: Catalogue
    index: CatalogueIndex
    words: WordIndex
    stages_read_text: bool
    pages: Mapping[str, str]

    def sharing_words(self, text: str, eligible: NDArray[np.bool_], count: int) -> list[int]:
        """Rows, best first; eligible: bool [N]. The first call after many changes reads their words."""
        self.words.grow(self.catalogue.cards)
        return self.words.best(text, eligible, count)

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
        meters: CatalogueMeters,
        snapshots: SnapshotKeeper | None = None,
        *,
        few: int = FEW,
    ) -> None:
        """`few`: so many eligible assets are searched exactly, also with an approximate index."""
        self._engine = engine
        self._estimator_of = estimator_of
        self._load_prototypes = load_prototypes
        self._meters = meters
        self._snapshots = snapshots
        self._few = few
        self._lock = threading.Lock()
        self._log = logs.get("recommender")
        self._estimator = estimator_of(None)
        self._builder = CatalogueBuilder(DEFAULT_DIMENSION, None)
        self._snapshot: Snapshot | None = None
        self.applied_at = 0.0
        self.confirmed_at = time.monotonic()

    @property
    def loaded(self) -> bool:
        return self._snapshot is not None

    @property
    def snapshot(self) -> Snapshot:
        """The newest picture; before the first load it is empty."""
        if self._snapshot is None:
            none = CatalogueBuilder(DEFAULT_DIMENSION, None)
            nothing = CatalogueIndex.empty(DEFAULT_DIMENSION)
            return Snapshot(none.publish(-1), nothing, none.words, False, none.pages)
        return self._snapshot

    def remembered(self) -> Snapshot:
        """The newest picture, for an answer while the database is away.

        Before the first load it raises Unavailable: the answer would be blank, and whoever asked has
        something in memory, or another replica.
        """
        if self._snapshot is None:
            raise Unavailable(
                "The catalogue is not loaded yet, and the database does not answer.",
                code="catalogue_not_loaded",
            )
        return self._snapshot

    def ensure(self, connection: sa.Connection, revision: int, live_model: str | None) -> Snapshot:
        """A snapshot at `revision` or later, with this model's vectors."""
        snapshot = self._snapshot
        if snapshot is not None and _is_as_new(snapshot, revision, live_model):
            self.confirmed_at = time.monotonic()
            return snapshot
        return self.catch_up(connection)

    def catch_up(self, connection: sa.Connection | None = None, *, anew: bool = False) -> Snapshot:
        """Apply every change since the last snapshot; a new model loads everything anew."""
        if connection is None:
            with reading(self._engine) as own:
                return self.catch_up(own, anew=anew)
        with self._lock:
            revision, live_model = read_head(connection)
            current = self._snapshot
            if current is not None and not anew and _is_as_new(current, revision, live_model):
                self.confirmed_at = time.monotonic()
                return current
            builder, estimator = self._builder, self._estimator
            if anew or current is None or current.catalogue.model_id != live_model:
                current = None
                # A large catalogue is read at once and worked on for longer than a transaction may idle.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                estimator = self._make_estimator(live_model)
                builder = CatalogueBuilder(dimension_of(connection, live_model), live_model)
            started = time.perf_counter()
            since = -1 if current is None else current.catalogue.revision
            approximate: ApproximateIndex | None = None
            with without_cycle_collection() if current is None else nullcontext():
                if self._snapshot is None and self._snapshots is not None:
                    since, approximate = self._fill(builder, estimator, connection, revision)
                count = apply_changes(changes_since(connection, since, live_model), builder, estimator)
            catalogue = builder.publish(revision)
            grown = CatalogueIndex.empty(builder.dimension) if current is None else current.index
            if approximate is None:
                index = grown.grown_to(catalogue.vectors)
            else:
                index = grown.resting_on(approximate, catalogue.vectors)
            # Kept only now: a load that breaks off in the middle must leave what was there.
            self._builder, self._estimator = builder, estimator
            self._snapshot = Snapshot(catalogue, index, builder.words, estimator.reads_text, builder.pages)
            self.applied_at = self.confirmed_at = time.monotonic()
            self._measure(connection, None if current is None else since, time.perf_counter() - started)
            if current is None:
                seconds = round(time.perf_counter() - started, 3)
                self._log.info("catalogue_loaded", assets=count, revision=revision, seconds=seconds)
            return self._snapshot

    def _fill(
        self,
        builder: CatalogueBuilder,
        estimator: AssetStageEstimator,
        connection: sa.Connection,
        revision: int,
    ) -> tuple[int, ApproximateIndex | None]:
        """The first load starts from a snapshot if there is one that fits.

        → (the revision to go on from, the approximate index over its rows if it has one).
        """
        assert self._snapshots is not None
        found = self._snapshots.load(
            connection, revision, builder.model_id, builder.dimension, estimator.fingerprint
        )
        if found is None:
            return -1, None
        revision, rows, index = found
        builder.fill(rows)
        return revision, None if index is None else self._restored(index, rows)

    def _restored(self, index: KeptIndex, rows: LivingRows) -> ApproximateIndex | None:
        """Without it search is exact until one is built."""
        try:
            return restored(index, rows.vectors, few=self._few)
        except RuntimeError as error:
            self._log.warning("index_not_restored", error=str(error)[:200])
            return None

    def building_ground(self) -> tuple[object, Snapshot]:
        """→ (token for `adopt`, what is served now): what an index can be built on, beside the requests."""
        with self._lock:
            return self._builder, self.snapshot

    def adopt(self, token: object, approximate: ApproximateIndex) -> bool:
        """Serve with this index from now on, and exactly over what came since. → False where the rows that it
        was built on are no longer those that are served.
        """
        with self._lock:
            current = self._snapshot
            if current is None or token is not self._builder:
                return False
            index = current.index.resting_on(approximate, current.catalogue.vectors)
            self._snapshot = replace(current, index=index)
            return True

    def compact(self) -> None:
        """Drop dead rows if there are many: renumbered beside the requests, which wait only for the end."""
        with self._lock:
            builder, current = self._builder, self._snapshot
            if current is None or not builder.needs_compaction:
                return
            rows, numbers = builder.living(), builder.renumbered()
        fresh = CatalogueBuilder(builder.dimension, builder.model_id)
        fresh.fill(rows)
        served = current.index.approximate
        approximate = None if served is None else restored(kept(served, numbers), rows.vectors, few=self._few)
        with reading(self._engine) as connection, self._lock:
            revision, live_model = read_head(connection)
            if self._builder is not builder or live_model != builder.model_id:
                return
            changes = changes_since(connection, current.catalogue.revision, live_model)
            apply_changes(changes, fresh, self._estimator)
            catalogue = fresh.publish(revision)
            index = CatalogueIndex.empty(fresh.dimension)
            if approximate is None:
                index = index.grown_to(catalogue.vectors)
            else:
                index = index.resting_on(approximate, catalogue.vectors)
            self._builder = fresh
            self._snapshot = Snapshot(catalogue, index, fresh.words, current.stages_read_text, fresh.pages)
        self._log.info("catalogue_compacted", rows=len(catalogue), before=len(numbers))

    def write_snapshot(self) -> None:
        """Keep what is served now for the next start, unless it is kept already. Raises OSError."""
        if self._snapshots is None or self._snapshot is None:
            return
        with self._lock:
            served, approximate = self._snapshot.catalogue, self._snapshot.index.approximate
            mark = SnapshotMark(
                served.revision,
                served.model_id,
                self._builder.dimension,
                self._estimator.fingerprint,
                0 if approximate is None else approximate.rows,
            )
            if self._snapshots.is_written(mark):
                return
            rows, numbers = self._builder.living(), self._builder.renumbered()
        self._snapshots.write(mark, rows, None if approximate is None else kept(approximate, numbers))

    def estimator_of(self, model_id: str) -> AssetStageEstimator:
        """The estimator for vectors of this model: the one in use, or, for another model, one made for it."""
        snapshot = self._snapshot
        if snapshot is not None and snapshot.catalogue.model_id == model_id:
            return self._estimator
        return self._make_estimator(model_id)

    def _measure(self, connection: sa.Connection, since: int | None, seconds: float) -> None:
        """`since` is None for an index built anew, whose changes are as old as the catalogue."""
        self._meters.build_seconds.labels("full" if since is None else "changes").observe(seconds)
        if since is None:
            self._meters.model.clear()
            self._meters.model.labels(self.snapshot.catalogue.model_id or "none").set(1)
        elif (age := newest_edit_age(connection, since)) is not None:
            self._meters.lag_seconds.observe(max(0.0, age))

    def refresh_stages(self) -> None:
        """Read the asset stages from text as soon as the prototypes can be had (embedder back)."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.stages_read_text or snapshot.catalogue.model_id is None:
            return
        estimator = self._make_estimator(snapshot.catalogue.model_id)
        if estimator.reads_text:
            self.catch_up(anew=True)

    def _make_estimator(self, live_model: str | None) -> AssetStageEstimator:
        if live_model is None:
            return self._estimator_of(None)
        try:
            return self._estimator_of(self._load_prototypes(live_model))
        except UpstreamUnavailable:
            self._log.warning("prototypes_missing", model=live_model)
            return self._estimator_of(None)


def _is_as_new(snapshot: Snapshot, revision: int, live_model: str | None) -> bool:
    """Whether a picture of the database at `revision` has nothing for this snapshot.

    A promotion takes a revision too: a reader with an older picture must not bring the old model back.
    """
    at = snapshot.catalogue.revision
    return at > revision or (at == revision and snapshot.catalogue.model_id == live_model)
