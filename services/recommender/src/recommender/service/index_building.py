"""Builds what searching needs beside the requests: the words, and the index of a large catalogue."""

from __future__ import annotations

import time

import numpy as np

from recommender.index.approximate import ApproximateIndex, extended, learnt
from recommender.index.tuning import tuned
from recommender.service.meters import CatalogueMeters
from recommender.service.replica import CatalogueReplica, Snapshot
from servicekit import logs

# Rows that came since are searched exactly; so many are quick, and taking them in costs a copy of the index.
_LATER_SHARE = 0.25
# Cells and codes are learnt anew once the catalogue is so many times what they were learnt on.
_LEARNT_ANEW = 2.0
# Where the floor could not be reached it is tried again in a catalogue so many times as large.
_TRIED_AGAIN = 1.25


class IndexBuilding:
    """`step` looks whether there is something to build, builds it, and hands it to the replica.

    Words of new rows are read first, so that the next search need not.
    Exact search serves up to `exact_assets` living assets. Beyond that an approximate index takes the rows
    in as soon as it finds `recall_floor` of the exact nearest; where none does, search stays exact.
    """

    def __init__(
        self, replica: CatalogueReplica, meters: CatalogueMeters, *, exact_assets: int, recall_floor: float
    ) -> None:
        self._replica = replica
        self._meters = meters
        self._exact_assets = exact_assets
        self._floor = recall_floor
        self._failed_at = 0
        self._log = logs.get("recommender")

    def step(self) -> None:
        self._replica.compact()
        token, snapshot = self._replica.building_ground()
        snapshot.words.grow(snapshot.catalogue.cards)
        if not self._is_due(snapshot):
            return
        started = time.perf_counter()
        found = self._build(snapshot)
        seconds = time.perf_counter() - started
        rows = len(snapshot.catalogue)
        if found is None:
            self._failed_at = rows
            self._log.warning("index_stays_exact", rows=rows, floor=self._floor, seconds=round(seconds, 3))
            return
        self._failed_at = 0
        if not self._replica.adopt(token, found):
            return  # the catalogue was loaded anew meanwhile; the next step builds on that
        self._meters.build_seconds.labels("approximate").observe(seconds)
        self._log.info(
            "index_built",
            rows=rows,
            cells=found.cells,
            probes=found.tuning.probes,
            depth=found.tuning.depth,
            recall=round(found.tuning.recall, 4),
            microseconds=round(found.tuning.microseconds),
            bytes=found.memory_bytes(),
            seconds=round(seconds, 3),
        )

    def _is_due(self, snapshot: Snapshot) -> bool:
        rows = len(snapshot.catalogue)
        if len(snapshot.catalogue.row_of) <= self._exact_assets or rows < _TRIED_AGAIN * self._failed_at:
            return False
        later = rows if snapshot.index.approximate is None else len(snapshot.index.exact)
        return later > _LATER_SHARE * self._exact_assets

    def _build(self, snapshot: Snapshot) -> ApproximateIndex | None:
        catalogue, served = snapshot.catalogue, snapshot.index.approximate
        usable = catalogue.alive & catalogue.has_vector
        rng = np.random.default_rng(len(catalogue))
        if served is not None and len(catalogue) < _LEARNT_ANEW * served.trained_on:
            grown = extended(served, catalogue.vectors, usable)
            found = tuned(grown, catalogue.vectors, usable, rng, floor=self._floor)
            if found is not None:
                return found
        few = self._exact_assets
        anew = learnt(catalogue.vectors, usable, rng, few=few)
        return tuned(anew, catalogue.vectors, usable, rng, floor=self._floor)
