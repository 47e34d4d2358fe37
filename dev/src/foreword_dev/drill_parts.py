"""What a drill does to a running Foreword: kills, freezes and brings back one part of it after the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import urllib3

from foreword_dev.drill_redis import SharedCounts
from foreword_dev.embedded_postgres import EmbeddedPostgres
from foreword_dev.processes import Service, Services
from foreword_dev.settings import Ports, RunSettings
from foreword_dev.stack import running

_READY_SECONDS = 90.0


@dataclass(slots=True)
class Rehearsed:
    """A Foreword with two gateways, each part of which can be taken away and brought back."""

    settings: RunSettings
    second: Ports
    database_url: str
    keys: dict[str, str]
    services: Services
    second_services: Services
    environment: dict[str, str]
    postgres: EmbeddedPostgres
    postgres_folder: Path
    redis: SharedCounts | None = None
    _http: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)

    @property
    def urls(self) -> tuple[str, str]:
        return self.settings.gateway_url, f"http://127.0.0.1:{self.second.service}"

    def service(self, name: str) -> Service:
        return next(service for service in self.services.running if service.name == name)

    def kill(self, name: str) -> None:
        """`kill -9` of the service with its workers: nobody gets to say goodbye."""
        service = self.service(name)
        os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait(10)
        service.log.close()
        self.services.running.remove(service)

    def start(self, name: str) -> float:
        """→ the moment (monotonic) from which it says that it is ready."""
        ports = {
            "embedder": self.settings.embedder,
            "recommender": self.settings.recommender,
            "gateway": self.settings.gateway,
        }[name]
        service = self.services.start(name, ports, self.environment)
        return _wait(lambda: service.is_ready(self._http), f"the {name} is ready")

    def freeze(self, name: str) -> None:
        """It is there, takes connections, and never answers."""
        os.killpg(self.service(name).process.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> float:
        os.killpg(self.service(name).process.pid, signal.SIGCONT)
        return time.monotonic()

    def stop_database(self) -> None:
        self.postgres.stop()

    def start_database(self) -> float:
        self.postgres = EmbeddedPostgres(self.postgres_folder)
        return _wait(self._database_answers, "the database answers")

    def freeze_database(self) -> None:
        for process in self._database_processes():
            process.suspend()

    def thaw_database(self) -> float:
        for process in self._database_processes():
            process.resume()
        return time.monotonic()

    def _database_processes(self) -> list[psutil.Process]:
        pid = int((self.postgres_folder / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def _database_answers(self) -> bool:
        try:
            with psycopg.connect(self.database_url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stored(self, keys: list[str]) -> int:
        """How many of these message keys the log holds."""
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT count(*) FROM recommender.signal_keys WHERE message_key = ANY(%s::uuid[])", (keys,)
            ).fetchone()
        return int(row[0]) if row is not None else 0


def _wait(condition: Callable[[], bool], what: str) -> float:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {_READY_SECONDS:g} s: {what}.")
        time.sleep(0.05)
    return time.monotonic()


@contextmanager
def rehearsed(settings: RunSettings, second: Ports, environment: dict[str, str]) -> Iterator[Rehearsed]:
    """Start everything with a second gateway; stop everything, in whatever state the drill left it."""
    folder = settings.data_dir / "postgres"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(folder)
    found: Rehearsed | None = None
    try:
        with_database = settings.with_database(postgres.url)
        with (
            running(with_database, lambda _: None, environment) as stack,
            Services(settings.data_dir / "logs-second") as others,
        ):
            addresses = {
                **environment,
                "FOREWORD_BIND": "127.0.0.1",
                "DATABASE_URL": stack.database_url,
                "FOREWORD_EMBEDDER_URL": f"http://127.0.0.1:{settings.embedder.service}",
                "FOREWORD_RECOMMENDER_URL": f"http://127.0.0.1:{settings.recommender.service}",
            }
            found = Rehearsed(
                with_database,
                second,
                stack.database_url,
                stack.keys,
                stack.services,
                others,
                addresses,
                postgres,
                folder,
            )
            gateway = others.start("gateway", second, addresses)
            _wait(lambda: gateway.is_ready(urllib3.PoolManager()), "the second gateway is ready")
            yield found
    finally:
        (found.postgres if found is not None else postgres).stop()
