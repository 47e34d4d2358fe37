"""Foreword as a whole: database, migrations, keys and the three services, in the order they are needed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import orjson
import psycopg
import urllib3

from foreword_dev.embedded_postgres import DatabaseBroken, EmbeddedPostgres
from foreword_dev.processes import Services, require_free
from foreword_dev.settings import ConfigurationMistake, Ports, RunSettings
from foreword_dev.stopping import undisturbed
from servicekit.database import normalise_url

Announce = Callable[[str], None]
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A running Foreword."""

    settings: RunSettings
    database_url: str
    services: Services
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.settings.gateway_url


class CommandFailed(Exception):
    """A step of the start failed; the message is what it said."""


@contextmanager
def running(
    settings: RunSettings, announce: Announce, environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start everything, yield it ready, stop everything; `environment` is added to the services'.

    Raises one-sentence errors: ConfigurationMistake, DatabaseBroken, CommandFailed, ServiceDied.
    """
    for name, ports in _named(settings).items():
        require_free(ports.service, name)
        require_free(ports.metrics, f"{name} metrics")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationMistake(f"The data folder cannot be made: {error}.") from error
    with ExitStack() as stack:
        services = stack.enter_context(Services(settings.logs_dir))
        added = {**(environment or {}), "FOREWORD_BIND": "127.0.0.1"}
        # It needs no database and takes longest, since it loads a model.
        services.start("embedder", settings.embedder, added)
        if settings.database_url is None:
            announce("Starting PostgreSQL")
            # Stopped half-way it would go on running, or its first start would leave it half made.
            with undisturbed():
                embedded = EmbeddedPostgres(settings.data_dir / "postgres")
                stack.callback(embedded.stop)
            # The services are stopped before their database.
            stack.callback(services.stop)
            url = embedded.url
        else:
            url = settings.database_url
            _require_database(url)
        announce("Applying migrations")
        _foreword("migrate", "--database-url", url)
        _foreword("keys", "development", "--file", str(settings.keys_file), "--database-url", url)
        addresses = {
            "DATABASE_URL": url,
            "FOREWORD_EMBEDDER_URL": f"http://127.0.0.1:{settings.embedder.service}",
            "FOREWORD_RECOMMENDER_URL": f"http://127.0.0.1:{settings.recommender.service}",
        }
        services.start("recommender", settings.recommender, {**added, **addresses})
        addresses["FOREWORD_RECOMMENDER_METRICS_URL"] = (
            f"http://127.0.0.1:{settings.recommender.metrics}/metrics"
        )
        services.start("gateway", settings.gateway, {**added, **addresses})
        _wait_ready(services, announce)
        keys = orjson.loads(settings.keys_file.read_bytes())
        yield Stack(settings, url, services, keys)
        announce("Stopping")


def _named(settings: RunSettings) -> dict[str, Ports]:
    """In the order in which they are called upon: the last calls the ones before."""
    return {
        "embedder": settings.embedder,
        "recommender": settings.recommender,
        "gateway": settings.gateway,
    }


def _require_database(url: str) -> None:
    plain = normalise_url(url).replace("postgresql+psycopg://", "postgresql://")
    try:
        with psycopg.connect(plain, connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DatabaseBroken(f"The database of DATABASE_URL does not answer: {first}") from error
    if version < 150_000:
        raise DatabaseBroken(f"PostgreSQL 15 or later is needed; DATABASE_URL leads to {version // 10_000}.")


def _foreword(*arguments: str) -> None:
    command = [sys.executable, "-m", "servicekit.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()
        raise CommandFailed(f"`foreword {arguments[0]}` failed: {last[-1] if last else 'no message'}")


def _wait_ready(services: Services, announce: Announce) -> None:
    http = urllib3.PoolManager()
    deadline = time.monotonic() + _READY_SECONDS
    waiting = list(services.running)
    announce("Waiting for " + ", ".join(s.name for s in waiting))
    while waiting:
        services.check_alive()
        ready = [service for service in waiting if service.is_ready(http)]
        if ready:
            waiting = [service for service in waiting if service not in ready]
            announce(
                "Waiting for " + ", ".join(s.name for s in waiting) if waiting else "All services are ready"
            )
        if time.monotonic() > deadline:
            raise CommandFailed(f"The {waiting[0].name} is not ready. {waiting[0].last_words()}")
        time.sleep(0.1)
