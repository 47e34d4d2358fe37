"""Figures of the catalogue that are read off when they are scraped."""

from __future__ import annotations

import time
from collections.abc import Callable

from recommender.index.approximate import ApproximateIndex
from recommender.service.meters import CatalogueMeters
from recommender.service.replica import CatalogueReplica


def show(meters: CatalogueMeters, replica: CatalogueReplica) -> None:
    """From now on a scrape sees what this replica holds."""
    meters.assets.set_function(lambda: len(replica.snapshot.catalogue.row_of))
    meters.revision.set_function(lambda: replica.snapshot.catalogue.revision)

    def of_index(read: Callable[[ApproximateIndex], float], otherwise: float) -> Callable[[], float]:
        def value() -> float:
            index = replica.snapshot.index.approximate
            return otherwise if index is None else read(index)

        return value

    meters.built_recall.set_function(of_index(lambda index: index.tuning.recall, 1.0))
    meters.approximate_assets.set_function(of_index(lambda index: index.rows, 0))
    meters.index_bytes.set_function(of_index(lambda index: index.memory_bytes(), 0))
    meters.unconfirmed_seconds.set_function(lambda: time.monotonic() - replica.confirmed_at)
