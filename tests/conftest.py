"""Fixtures shared by all tests; nothing here runs unless a test asks for it."""

from __future__ import annotations

import gc
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender_rig import Rig, RigMaker, ServedEmbedder, SettableClock, SwitchableEmbedder, truncate

# Most of what a test run makes lives to its end; visiting it at every 700 new objects took a twentieth of it.
gc.set_threshold(100_000, 20, 50)
# As in the services (`servicekit.gunicorn_conf`): pytest's workers, started after this, inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL to make databases in: the one that DATABASE_URL names, else an embedded one."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    from foreword_dev.embedded_postgres import EmbeddedPostgres

    # Not in pytest's own folder: another pytest run of this user closes that to the server's user.
    with tempfile.TemporaryDirectory(prefix="foreword-tests-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        yield server.url
        server.stop()


@pytest.fixture(scope="module")
def bare_database(postgres_url: str) -> Iterator[str]:
    """An empty database of this module's own."""
    import sqlalchemy as sa

    from servicekit.database import create_engine

    name = f"foreword_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(postgres_url, pool_size=1, application_name="tests")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture(scope="module")
def recommender_database(bare_database: str) -> str:
    """A database of this module's own with the recommender's tables."""
    from recommender.store.migrate import migrate

    migrate(bare_database)
    return bare_database


@pytest.fixture(scope="session")
def embedder_server() -> Iterator[ServedEmbedder]:
    server = ServedEmbedder()
    yield server
    server.close()


@pytest.fixture
def embedder(embedder_server: ServedEmbedder) -> SwitchableEmbedder:
    """The embedder of this test, on hashing vectors: no torch, no model file."""
    embedder_server.switch.reset()
    return embedder_server.switch


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def make_recommender(
    recommender_database: str,
    embedder_server: ServedEmbedder,
    embedder: SwitchableEmbedder,
    clock: SettableClock,
) -> Iterator[RigMaker]:
    """Starts recommenders on one emptied database; several of them are replicas of one another."""
    from recommender.app import create_app
    from recommender.settings import RecommenderSettings
    from servicekit.database import create_engine

    admin = create_engine(recommender_database, pool_size=1, application_name="tests")
    truncate(admin)
    admin.dispose()
    rigs: list[Rig] = []

    def make(*, background: bool = False, **overrides: object) -> Rig:
        given = {"database_url": recommender_database, "embedder_url": embedder_server.url, "threads": 8}
        settings = RecommenderSettings.load(**given | overrides)
        rigs.append(Rig(create_app(settings, clock=clock, background=background), clock))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.app.extensions["close"]()


@pytest.fixture
def recommender(make_recommender: RigMaker) -> Rig:
    return make_recommender()
