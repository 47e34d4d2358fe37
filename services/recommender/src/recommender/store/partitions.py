"""Monthly partitions of the logs: made before they are needed, dropped when retention says so."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

_LOCK = 0x5369676E  # "Sign"


def month_of(at: datetime) -> tuple[int, int]:
    utc = at.astimezone(UTC)
    return utc.year, utc.month


class Partitions:
    """Remembers which months have a partition, so that the usual batch asks nothing."""

    def __init__(self, engine: sa.Engine, table: str = "signals") -> None:
        self._engine = engine
        self._table = table
        self._known: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def _spans_known(self, first: datetime, last: datetime) -> bool:
        """Whether every month between two moments has a partition: asked of thousands of events at once."""
        (year, month), end = month_of(first), month_of(last)
        while (year, month) in self._known:
            if (year, month) == end:
                return True
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return False

    def ensure(self, times: Iterable[datetime]) -> None:
        """Make the partitions that these times need, in a transaction of its own: DDL locks the parent."""
        wanted = list(times)
        if not wanted or self._spans_known(min(wanted), max(wanted)):
            return
        missing = {month_of(at) for at in wanted} - self._known
        if not missing:
            return
        with self._lock, self._engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for year, month in sorted(missing - self._known):
                following = (year + 1, 1) if month == 12 else (year, month + 1)
                name = f"{self._table}_y{year:04d}m{month:02d}"
                found = connection.exec_driver_sql(
                    "SELECT to_regclass(%s)", (f"recommender.{name}",)
                ).scalar_one()
                if found is None:
                    connection.exec_driver_sql(
                        f"CREATE TABLE recommender.{name} PARTITION OF recommender.{self._table} FOR VALUES FROM "
                        f"('{year:04d}-{month:02d}-01+00') TO ('{following[0]:04d}-{following[1]:02d}-01+00')"
                    )
        self._known |= missing
