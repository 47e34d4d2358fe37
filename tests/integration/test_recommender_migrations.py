"""Migrations: two at once, and a schema that this version does not know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from recommender.store.migrate import migrate, require_known_schema
from servicekit.database import SchemaUnknown, create_engine, normalise_url
from servicekit.errors import Unavailable


@pytest.fixture
def engine(bare_database: str) -> Iterator[sa.Engine]:
    made = create_engine(bare_database, pool_size=2, application_name="tests")
    with made.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS recommender CASCADE")
    yield made
    made.dispose()


def test_migrations_that_start_at_once_wait_for_one_another(bare_database: str, engine: sa.Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        revisions = list(pool.map(migrate, [bare_database] * 3))
    assert len(set(revisions)) == 1
    assert revisions[0]
    require_known_schema(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM recommender.catalogue_head").scalar_one() == 1


@pytest.mark.slow
def test_a_migration_waits_for_another_as_long_as_it_takes(bare_database: str, engine: sa.Engine) -> None:
    """The lock of a long migration must not run into the timeout that ordinary statements have."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (0x466F7265,))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(migrate, bare_database)
            setting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND application_name = 'foreword-migrate-recommender'"
            )
            while connection.exec_driver_sql(setting).scalar_one() == 0 and not waiting.done():
                connection.commit()  # else the same picture of who waits is shown again
                time.sleep(0.05)
            with pytest.raises(TimeoutError):
                waiting.result(10.5)
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (0x466F7265,))
            assert waiting.result(30)


def test_a_schema_that_is_missing_or_unknown_is_refused(bare_database: str, engine: sa.Engine) -> None:
    with pytest.raises(SchemaUnknown, match="revision none"):
        require_known_schema(engine)
    migrate(bare_database)
    require_known_schema(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE recommender.alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaUnknown, match=r"9999.*foreword migrate"):
        require_known_schema(engine)


def test_no_database_is_told_as_such() -> None:
    away = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=1, application_name="tests")
    with pytest.raises(Unavailable):
        require_known_schema(away)
    away.dispose()


def test_addresses_as_people_write_them() -> None:
    for prefix in ("postgres://", "postgresql://", "postgresql+psycopg://"):
        assert normalise_url(prefix + "u@h/d") == "postgresql+psycopg://u@h/d"
    with pytest.raises(ValueError, match="postgresql://"):
        normalise_url("mysql://u@h/d")
