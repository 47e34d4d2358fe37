"""Which of the database's errors are its own trouble, to be tried again, and which are our mistakes."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask

from recommender.api import problems
from servicekit.flask_app import create
from servicekit.metrics import Metrics


def _raised(kind: type[sa.exc.DBAPIError], cause: Exception, *, invalidated: bool = False) -> Exception:
    return kind("SELECT 1", None, cause, connection_invalidated=invalidated)


TROUBLE = [
    _raised(sa.exc.OperationalError, psycopg.errors.AdminShutdown("going down")),
    _raised(sa.exc.OperationalError, psycopg.errors.DiskFull("no space")),
    _raised(sa.exc.InternalError, psycopg.errors.IdleInTransactionSessionTimeout("too long")),
    _raised(sa.exc.InternalError, psycopg.errors.ReadOnlySqlTransaction("a standby")),
    _raised(sa.exc.DatabaseError, psycopg.DatabaseError("lost synchronization with server")),
    _raised(sa.exc.ProgrammingError, psycopg.ProgrammingError("the line is gone"), invalidated=True),
    sa.exc.PendingRollbackError("rolled back"),
    sa.exc.TimeoutError("no connection was free"),
]
MISTAKES = [
    _raised(sa.exc.ProgrammingError, psycopg.errors.UndefinedColumn("no such column")),
    _raised(sa.exc.IntegrityError, psycopg.errors.UniqueViolation("twice")),
    _raised(sa.exc.DataError, psycopg.errors.NumericValueOutOfRange("too much")),
]


@pytest.fixture(scope="module")
def app() -> Flask:
    made = create("recommender", metrics=Metrics.create("recommender", "0"), max_body_bytes=1_000)
    problems.init_app(made)

    @made.get("/raised/<kind>/<int:number>")
    def raised(kind: str, number: int) -> str:
        raise (TROUBLE if kind == "trouble" else MISTAKES)[number]

    return made


@pytest.mark.parametrize("number", range(len(TROUBLE)))
def test_the_databases_own_trouble_is_to_be_tried_again(app: Flask, number: int) -> None:
    answer = app.test_client().get(f"/raised/trouble/{number}")
    document: dict[str, object] = answer.get_json()
    assert (answer.status_code, document["code"]) == (503, "database_away")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_of_ours_is_told_as_one(app: Flask, number: int) -> None:
    assert app.test_client().get(f"/raised/mistakes/{number}").status_code == 500
