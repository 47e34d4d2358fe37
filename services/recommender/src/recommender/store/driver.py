"""What SQLAlchemy has no word for, asked of the driver: COPY, and several questions in one trip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa

Rows = list[tuple[Any, ...]]


class Question(NamedTuple):
    """A statement and its parameters, by name."""

    text: str
    parameters: Mapping[str, object] = {}


@contextmanager
def copying(connection: sa.Connection, target: str) -> Iterator[psycopg.Copy]:
    """Rows are written into `target`, a table with its columns, and are there when the block ends."""
    statement = f"COPY {target} FROM STDIN"
    with (
        _driver(connection, statement) as driver,
        driver.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        yield copy


def ask_all(connection: sa.Connection, questions: Sequence[Question]) -> list[Rows]:
    """Each question's rows. They travel together: waiting for each takes longer than answering it."""
    with _driver(connection, questions[0].text) as driver:
        cursors = [driver.cursor() for _ in questions]
        with driver.pipeline():
            for cursor, question in zip(cursors, questions, strict=True):
                cursor.execute(question.text, question.parameters)
        return [cursor.fetchall() for cursor in cursors]


@contextmanager
def _driver(connection: sa.Connection, statement: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """psycopg's connection; its errors are raised as SQLAlchemy's, since those are what callers catch."""
    driver: psycopg.Connection[tuple[Any, ...]] = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        yield driver
    except psycopg.Error as error:
        if driver.closed or driver.broken:
            # A server that ended one connection has ended all: asked itself, SQLAlchemy finds this one dead and
            # throws the whole pool away.
            connection.exec_driver_sql("SELECT 1")
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
