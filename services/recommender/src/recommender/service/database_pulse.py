"""Whether the database answers, asked beside the requests: one that hangs never says that it is away."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa

from servicekit.database import reading

PATIENCE_SECONDS = 5.0


class DatabasePulse:
    """`step` asks, on an engine of its own: a pool that requests have emptied says nothing of the database.

    Whoever wants to know reads what came of it and never waits. `monotonic` gives seconds.
    """

    def __init__(self, engine: sa.Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._error = ""

    def step(self) -> None:
        """Ask once. That it is away is this loop's finding, not its failure, so nothing is raised for it."""
        self._asked_at = self._monotonic()
        try:
            with reading(self._engine) as connection:
                connection.exec_driver_sql("SELECT 1")
        except sa.exc.SQLAlchemyError as error:
            self._error = type(error).__name__
        else:
            self._error = ""
        finally:
            self._asked_at = None

    @property
    def trouble(self) -> str:
        """What is wrong; empty while it answers, and before it was asked for the first time."""
        asked_at = self._asked_at
        if asked_at is not None and self._monotonic() - asked_at > PATIENCE_SECONDS:
            return "NoAnswer"
        return self._error

    def close(self) -> None:
        self._engine.dispose()
