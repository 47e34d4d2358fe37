"""PostgreSQL for the services that keep state: the engine, and migrations under an advisory lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import alembic.command
import alembic.config
import orjson
import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from prometheus_client import Gauge

from servicekit.errors import Unavailable

_MIGRATION_LOCK = 0x466F7265  # "Fore"


class SchemaUnknown(Exception):
    """The database is at a revision that this version of the code does not know; the message says which."""

    says_nothing_of_people = True


def normalise_url(url: str) -> str:
    """Accept `postgres://` and `postgresql://` as people write them; always use psycopg 3."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    raise ValueError("DATABASE_URL must start with postgresql://")


def create_engine(
    url: str, *, pool_size: int, application_name: str, connect_timeout_seconds: int = 3
) -> sa.Engine:
    """An engine whose pool drops dead connections and whose waits are bounded."""
    return sa.create_engine(
        normalise_url(url),
        pool_size=pool_size,
        max_overflow=4,
        pool_timeout=5,
        pool_pre_ping=False,
        pool_use_lifo=True,
        pool_recycle=1800,
        # An error's text goes into logs, and the values of a statement are people's ids and what they did.
        hide_parameters=True,
        # The database writes 1e300 out in full, and Python's own reader makes an integer of it.
        json_deserializer=orjson.loads,
        connect_args={
            "application_name": application_name,
            "connect_timeout": connect_timeout_seconds,
            "options": "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
            "prepare_threshold": 3,
        },
    )


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that reads, and ends with COMMIT.

    `Engine.connect` ends with ROLLBACK, at which psycopg forgets what it prepared: every statement would be
    planned anew for each request, which takes PostgreSQL several times as long as to answer it.
    """
    with engine.begin() as connection:
        yield connection


def observe_pool(engine: sa.Engine, in_use: Gauge, limit: Gauge) -> None:
    """Show how full the pool of connections is; the pool itself is asked at each scrape."""
    pool = engine.pool
    if not isinstance(pool, sa.QueuePool):
        return
    in_use.set_function(pool.checkedout)
    # SQLAlchemy has no public word for the overflow that a pool was made with.
    limit.set(pool.size() + getattr(pool, "_max_overflow", 0))


def _config(script_location: Path) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    return config


def migrate(url: str, *, schema: str, script_location: Path) -> str:
    """Bring `schema` to the newest revision; two that start at once wait for one another. → revision."""
    engine = create_engine(url, pool_size=1, application_name=f"foreword-migrate-{schema}")
    config = _config(script_location)
    try:
        with engine.connect() as connection:
            # Another's migration may take longer than any statement should wait.
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
            connection.commit()
            config.attributes["connection"] = connection
            config.attributes["schema"] = schema
            alembic.command.upgrade(config, "head")
            connection.commit()
            return current_revision(connection, schema) or ""
    finally:
        engine.dispose()


def run_environment() -> None:
    """The body of every `env.py`: use the connection that `migrate` opened, keep versions in our schema."""
    connection = context.config.attributes["connection"]
    schema = context.config.attributes["schema"]
    context.configure(connection=connection, version_table_schema=schema, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def current_revision(connection: sa.Connection, schema: str) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table_schema": schema}
    ).get_current_revision()


def require_known_schema(engine: sa.Engine, *, schema: str, script_location: Path) -> None:
    """Refuse to serve on a schema that is missing, older, or newer than this code."""
    wanted = ScriptDirectory.from_config(_config(script_location)).get_current_head()
    try:
        with engine.connect() as connection:
            found = current_revision(connection, schema)
    except sa.exc.OperationalError as error:
        raise Unavailable("The database does not answer.") from error
    if found != wanted:
        raise SchemaUnknown(
            f"Schema '{schema}' is at revision {found or 'none'}, this version needs {wanted}: "
            "run `foreword migrate`."
        )
