"""What a crash leaves in the log: enough to find it, and nobody's data."""

from __future__ import annotations

import sys

import orjson
import psycopg.errors
import pytest
import sqlalchemy as sa

from servicekit import logs
from servicekit.crash_text import crash_text, kinds
from servicekit.errors import Unavailable

WHO = "maria.planted@firm.example"


def crashed() -> BaseException:
    try:
        try:
            {}[WHO]
        except KeyError as error:
            raise ValueError(f"cannot read {WHO}") from error
    except ValueError as error:
        return error


def test_types_and_places_stand_there_and_no_words_of_others() -> None:
    text = crash_text(crashed())
    assert WHO not in text
    assert text.index("builtins.KeyError") < text.index("which led to:") < text.index("builtins.ValueError")
    assert "test_crash_text.py" in text
    assert "in crashed" in text


def test_a_database_error_tells_its_state_and_not_its_row() -> None:
    inner = psycopg.errors.UniqueViolation(f"Key (external_id)=({WHO}) already exists.")
    outer = sa.exc.IntegrityError("INSERT INTO t VALUES (%s)", {"id": WHO}, inner, hide_parameters=True)
    outer.__cause__ = inner
    assert kinds(outer) == "sqlalchemy.exc.IntegrityError from psycopg.errors.UniqueViolation [23505]"
    assert WHO not in crash_text(outer)


def test_words_of_our_own_and_of_the_system_stay() -> None:
    assert "The database does not answer." in kinds(Unavailable("The database does not answer."))
    assert "No such file" in kinds(FileNotFoundError(2, "No such file or directory", "/etc/nothing"))


def test_the_log_writes_crashes_so(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("test")
    error = crashed()
    logs.get("test").error("request_crashed", exc_info=error)
    try:
        raise error
    except ValueError:
        logs.get("test").error("again", exc_info=sys.exc_info())
        logs.logging.getLogger("a.library").exception("it crashed")
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["request_crashed", "again", "it crashed"]
    for line in lines:
        assert "builtins.ValueError" in line["exception"]
        assert WHO not in orjson.dumps(line).decode()
