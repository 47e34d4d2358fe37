"""When a replica's catalogue is written to a snapshot, and whether one may be started from."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa

from recommender.index.approximate import KeptIndex
from recommender.index.catalogue_builder import LivingRows
from recommender.index.snapshot import (
    SnapshotMark,
    SnapshotUnusable,
    discard_snapshot,
    read_snapshot,
    write_snapshot,
)
from recommender.store.assets import changed_after, unchanged_until
from servicekit import logs


class SnapshotKeeper:
    """One folder; many replicas may share it, since a file is replaced as a whole and checked before use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: SnapshotMark | None = None
        self._log = logs.get("recommender")

    def load(
        self, connection: sa.Connection, revision: int, model_id: str | None, dimension: int, fingerprint: str
    ) -> tuple[int, LivingRows, KeptIndex | None] | None:
        """The revision to catch up from, rows and index; what does not fit is thrown away, and said so."""
        started = time.perf_counter()
        try:
            found = read_snapshot(self._folder, model_id, dimension, fingerprint)
            if found is None:
                return None
            mark, rows, index = found
            _require_same_catalogue(connection, mark, rows, revision)
        except SnapshotUnusable as error:
            self._log.warning("snapshot_thrown_away", reason=str(error), folder=str(self._folder))
            discard_snapshot(self._folder)
            return None
        self._written = mark
        seconds = round(time.perf_counter() - started, 3)
        self._log.info("snapshot_loaded", assets=len(rows.cards), revision=mark.revision, seconds=seconds)
        return mark.revision, rows, index

    def is_written(self, mark: SnapshotMark) -> bool:
        return self._written == mark

    def write(self, mark: SnapshotMark, rows: LivingRows, index: KeptIndex | None) -> None:
        """Raises OSError: the loop that calls says so and tries again."""
        started = time.perf_counter()
        size = write_snapshot(self._folder, mark, rows, index)
        self._written = mark
        seconds = round(time.perf_counter() - started, 3)
        self._log.info(
            "snapshot_written", assets=len(rows.cards), revision=mark.revision, bytes=size, seconds=seconds
        )


def _require_same_catalogue(
    connection: sa.Connection, mark: SnapshotMark, rows: LivingRows, revision: int
) -> None:
    """A database that was restored, or is another one, has other assets at the same revisions."""
    if mark.revision > revision:
        raise SnapshotUnusable(f"it is of revision {mark.revision}, and the database is at {revision}")
    held = {card.asset_id: int(change) for card, change in zip(rows.cards, rows.change, strict=True)}
    unchanged = unchanged_until(connection, mark.revision)
    if not unchanged.items() <= held.items():
        raise SnapshotUnusable("the database holds other assets at its revision")
    if not held.keys() - unchanged.keys() <= changed_after(connection, mark.revision):
        raise SnapshotUnusable("it holds assets that the database does not know")
