"""What replicas' fallbacks have in common, kept in the gateway's schema: what was taken away, what was good.

A deletion is written down before it is acknowledged. Every replica reads what was written down once a
second, and once more before each fallback answer while the database answers; so a replica never shows what
another one has taken away. While the database is away nothing can be deleted either. The last good answers
are written down too: a gateway that starts while the recommender is away has something to show.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import orjson
import sqlalchemy as sa
from prometheus_client import Counter

from gateway.fallback import Fallback
from servicekit import logs
from servicekit.background import BackgroundLoop
from servicekit.database import reading

_SECONDS = 1.0
_SAVE_SECONDS = 5.0
# Rows are read again for a while: a transaction may commit later than one with a higher number.
_OVERLAP = timedelta(seconds=15)
_AWAY_SECONDS = 2.0
# Every replica that can write its answers down has read by then what was taken away.
_HEARD_WITHIN = timedelta(seconds=4)
_MOST_WAITING = 10_000


class SharedFallback:
    """Implements `fallback.Sharing` on PostgreSQL. No request waits longer than `wait_seconds` for it."""

    def __init__(
        self,
        engine: sa.Engine,
        fallback: Fallback,
        *,
        max_age_seconds: float,
        failures: Counter,
        wait_seconds: float = 0.2,
    ) -> None:
        self._engine = engine
        self._fallback = fallback
        self._max_age = timedelta(seconds=max_age_seconds)
        self._wait = wait_seconds
        self._failures = failures.labels("fallback")
        self._log = logs.get("gateway")
        self._state = threading.Condition()
        self._read_began_at = 0.0  # monotonic: the last read that came through began then
        self._failed_at = float("-inf")
        self._saved_at = 0.0
        self._since: datetime | None = None  # by the database's clock
        self._applied: set[int] = set()  # those of the overlap
        self._restored = False
        self._waiting: deque[str | None] = deque(maxlen=_MOST_WAITING)
        self._loop = BackgroundLoop(
            "fallback", self.step, interval_seconds=_SECONDS, failures=failures, service="gateway"
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._engine.dispose()

    def withdraw(self, asset_ids: Sequence[str] | None) -> None:
        """Write down that these assets (None: any) may not be shown from memory. Never raises."""
        given: list[str | None] = [None] if asset_ids is None else list(asset_ids)
        try:
            self._write(given)
        except sa.exc.SQLAlchemyError as error:
            # The recommender uses the same database, so what was asked has most likely failed as well.
            self._failures.inc()
            self._log.warning("withdrawal_kept_back", error=type(error).__name__, assets=len(given))
            self._waiting.extend(given)

    def ensure_fresh(self) -> None:
        """Have all that was written down until now, if the database can tell within `wait_seconds`."""
        asked_at = time.monotonic()
        with self._state:
            if asked_at - self._failed_at < _AWAY_SECONDS:
                return
            self._loop.wake()
            self._state.wait_for(
                lambda: self._read_began_at >= asked_at or self._failed_at >= asked_at, timeout=self._wait
            )

    def step(self) -> None:
        began_at = time.monotonic()
        try:
            self._restore()
            self._read()
        except sa.exc.SQLAlchemyError:
            with self._state:
                self._failed_at = time.monotonic()
                self._state.notify_all()
            raise
        with self._state:
            self._read_began_at = began_at
            self._failed_at = float("-inf")
            self._state.notify_all()
        if self._waiting:
            given = list(self._waiting)
            self._write(given)
            for _ in given:
                self._waiting.popleft()
        if began_at - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = began_at
            self._save()

    def _write(self, asset_ids: Sequence[str | None]) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO gateway.withdrawals (asset_id, at) SELECT given, clock_timestamp() "
                "FROM unnest(%(given)s::text[]) AS given",
                {"given": list(asset_ids)},
            )
            if None in asset_ids:
                connection.exec_driver_sql("DELETE FROM gateway.last_good_answers")

    def _read(self) -> None:
        with reading(self._engine) as connection:
            began_at: datetime = connection.exec_driver_sql("SELECT now()").scalar_one()
            rows = connection.exec_driver_sql(
                "SELECT withdrawal_id, asset_id, at FROM gateway.withdrawals "
                "WHERE at > %(since)s::timestamptz - %(overlap)s ORDER BY at",
                {"since": self._since, "overlap": _OVERLAP},
            ).all()
        fresh = [row for row in rows if row[0] not in self._applied]
        gone = [str(row[1]) for row in fresh if row[1] is not None]
        if len(gone) < len(fresh):
            self._fallback.drop(None)
        if gone:
            self._fallback.drop(gone)
        self._have_read([(row[0], row[2]) for row in rows], began_at)

    def _have_read(self, rows: Iterable[tuple[int, datetime]], began_at: datetime) -> None:
        """On to when the read began, and not to the newest row: an import's would be read for ever."""
        self._since = began_at
        self._applied = {number for number, at in rows if at > began_at - _OVERLAP}

    def _restore(self) -> None:
        """Once, at the start: the answers that replicas wrote down, without what was taken away since."""
        if self._restored:
            return
        with self._engine.begin() as connection:
            connection.exec_driver_sql(
                "DELETE FROM gateway.withdrawals WHERE at < now() - 2 * %s::interval", (self._max_age,)
            )
            kept = connection.exec_driver_sql(
                "SELECT placement, filter, assets, at FROM gateway.last_good_answers "
                "WHERE at > now() - %s::interval ORDER BY at",
                (self._max_age,),
            ).all()
            now = connection.exec_driver_sql("SELECT now()").scalar_one()
            withdrawn = connection.exec_driver_sql(
                "SELECT withdrawal_id, asset_id, at FROM gateway.withdrawals ORDER BY at"
            ).all()
        taken_at = {row[1]: row[2] for row in withdrawn}  # None: everything was

        def is_good(asset_id: str, written_at: datetime) -> bool:
            """Whether it was put into the answer after it was last taken away, and not before."""
            since = (taken_at.get(asset_id), taken_at.get(None))
            return all(at is None or written_at > at + _HEARD_WITHIN for at in since)

        for placement, tree, assets, at in kept:
            self._fallback.restore((placement, tree), [one for one in assets if is_good(one["id"], at)])
        # Without this an import a moment before an answer was written would empty it at every start.
        self._have_read([(row[0], row[2]) for row in withdrawn], now)
        self._restored = True

    def _save(self) -> None:
        changed = self._fallback.take_changed()
        if not changed:
            return
        with self._engine.begin() as connection:
            for (placement, tree), assets in sorted(changed.items()):
                connection.exec_driver_sql(
                    "INSERT INTO gateway.last_good_answers (placement, filter, assets, at) "
                    "VALUES (%s, %s, %s, now()) ON CONFLICT (placement, filter) "
                    "DO UPDATE SET assets = excluded.assets, at = excluded.at",
                    (placement, tree, orjson.dumps([a.model_dump(mode="json") for a in assets]).decode()),
                )
