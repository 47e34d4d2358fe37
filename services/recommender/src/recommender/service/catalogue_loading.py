"""From rows of the database into a catalogue that is being built, in blocks with their estimated stages."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from recommender.index.catalogue_builder import AssetRow, CatalogueBuilder
from recommender.service.asset_stages import AssetStageEstimator
from recommender.store.embeddings import CatalogueChange

DEFAULT_DIMENSION = 384
_BLOCK = 2_000


@contextmanager
def without_cycle_collection() -> Iterator[None]:
    """While a catalogue is loaded no cycles are made, and the collector would look through the growing rows
    again and again, for a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def apply_changes(
    changes: Iterable[CatalogueChange], builder: CatalogueBuilder, estimator: AssetStageEstimator
) -> int:
    """Put what changed into the builder, with its estimated stages. → how many of them live."""
    block: list[CatalogueChange] = []
    count = 0
    for change in changes:
        block.append(change)
        if len(block) == _BLOCK:
            count += _apply_block(block, builder, estimator)
            block = []
    return count + _apply_block(block, builder, estimator)


def _apply_block(
    block: list[CatalogueChange], builder: CatalogueBuilder, estimator: AssetStageEstimator
) -> int:
    for change in block:
        if change.card is None:
            builder.remove(change.asset_id)
    living = [change for change in block if change.card is not None]
    stages = estimator.estimate(living)
    for change, stage in zip(living, stages, strict=True):
        if change.card is not None:
            builder.put(
                AssetRow(
                    change.card,
                    change.approved,
                    change.publish_at,
                    change.expires_at,
                    change.published_at,
                    stage,
                    change.vector,
                    change.change,
                )
            )
    return len(living)


def dimension_of(connection: sa.Connection, model_id: str | None) -> int:
    """Of this model's vectors; the default while there are none."""
    found = connection.exec_driver_sql(
        "SELECT octet_length(vector) / 4 FROM recommender.embeddings WHERE model_id = %s LIMIT 1", (model_id,)
    ).scalar_one_or_none()
    return int(found) if found else DEFAULT_DIMENSION
