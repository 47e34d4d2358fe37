"""COPY on SQLAlchemy's connection: what goes wrong in it is raised as for any other statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa


@contextmanager
def copying(connection: sa.Connection, target: str) -> Iterator[psycopg.Copy]:
    """Rows are written into `target`, a table with its columns, and are there when the block ends.

    COPY goes past SQLAlchemy, to the driver. Its errors are raised as SQLAlchemy's all the same, since those are
    what callers catch; and a connection that died in it does not go back into the pool.
    """
    driver: psycopg.Connection[tuple[object, ...]] = connection.connection.driver_connection  # type: ignore[assignment]
    statement = f"COPY {target} FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        gone = driver.closed or driver.broken
        if gone:
            connection.invalidate(error)
        raise sa.exc.DBAPIError.instance(
            statement,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=connection.dialect,
        ) from error
