"""Two gateways, two recommenders, an embedder and a PostgreSQL, with a proxy on every line between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import urllib3
from urllib3.exceptions import HTTPError

from foreword_dev.chaos.postgres_server import ChaosPostgres
from foreword_dev.chaos.tcp_proxy import TcpProxy
from foreword_dev.chaos.wrong_clock import CLOCK_FILE
from foreword_dev.free_ports import free_ports

MODELS = ("hashing-384", "hashing-256")
READY_SECONDS = 120.0
# What a firm shows when nothing else is left.
_STATIC = [
    {"id": f"static-{n}", "title": f"Read this first, part {n}", "url": f"https://www.example.com/static/{n}"}
    for n in range(6)
]
CLOCKED = "foreword_dev.chaos.wrong_clock:{}()"


class NotReady(Exception):
    """Something did not come up in time; the message says what, and its last words."""


@dataclass(slots=True)
class Member:
    """One service process with its workers. `held` is one that must stay down for now."""

    name: str
    module: str
    environment: dict[str, str]
    port: int
    metrics_port: int
    log: Path
    clock: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    held: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        clock = {} if self.clock is None else {CLOCK_FILE: str(self.clock)}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf", self.module],
                env={**os.environ, **self.environment, **clock},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self) -> bool:
        """`kill -9` of gunicorn and its workers at once. → whether there was anything to kill."""
        doomed = self.process  # it may be another one as soon as this has ended
        if doomed is None or doomed.poll() is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(doomed.pid, signal.SIGKILL)
        doomed.wait(10)
        return True

    def kill_worker(self) -> bool:
        """`kill -9` of the worker alone: its parent starts another. → whether there was one."""
        if self.process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                child.kill()
                return True
        return False

    def set_clock(self, seconds: float) -> None:
        """Wrong by so many seconds, where this one's clock can be set; 0 is the true time."""
        if self.clock is not None:
            partial = self.clock.with_suffix(".partial")
            partial.write_text(str(seconds))
            partial.replace(self.clock)

    def is_ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/readyz", timeout=2.0, retries=False).status == 200
        except HTTPError:
            return False

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return "\n  ".join(lines[-12:])


@dataclass(slots=True)
class Cluster:
    """Everything that runs. What ends by itself or is killed is started again, as Kubernetes would."""

    folder: Path
    data: Path
    postgres: ChaosPostgres
    members: dict[str, Member]
    database: TcpProxy
    recommender: TcpProxy
    embedder: TcpProxy
    key: str = ""
    restarts: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    @property
    def gateways(self) -> tuple[str, ...]:
        return tuple(m.url for m in self.members.values() if m.name.startswith("gateway"))

    @property
    def recommenders(self) -> tuple[str, ...]:
        return tuple(m.url for m in self.members.values() if m.name.startswith("recommender"))

    @property
    def proxied_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.database.port}/postgres"

    @property
    def snapshots(self) -> Path:
        return self.data / "snapshots"

    def keep_running(self) -> None:
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            if not self.postgres.alive:
                self.restarts += 1
                self.postgres.start()
                self._stopping.wait(0.3)
            for member in self.members.values():
                if not member.held and not member.alive:
                    self.restarts += 1
                    member.start()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Until all say that they are ready. Raises NotReady."""
        deadline = time.monotonic() + seconds
        while not self.postgres.answers():
            if time.monotonic() > deadline:
                raise NotReady("PostgreSQL does not answer.")
            time.sleep(0.1)
        for member in self.members.values():
            while not member.is_ready():
                if time.monotonic() > deadline:
                    raise NotReady(f"{member.name} is not ready. Its last words:\n  {member.last_words()}")
                time.sleep(0.1)

    def stop(self) -> None:
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(30)
        for member in self.members.values():
            member.kill()
        for proxy in (self.database, self.recommender, self.embedder):
            proxy.close()
        self.postgres.stop()


@contextmanager
def cluster(
    folder: Path,
    *,
    recommender_module: str = CLOCKED.format("recommender"),
    disk_megabytes: int | None = 700,
) -> Iterator[Cluster]:
    """All of it, ready, in `folder`; everything is ended on the way out.

    With `disk_megabytes` the data folder is a file system of its own where that may be mounted, so that it
    can be filled up.
    """
    data = folder / "data"
    data.mkdir(parents=True)
    mounted = disk_megabytes is not None and _mount(data, disk_megabytes)
    made: Cluster | None = None
    try:
        made = _made(folder, data, recommender_module)
        made.postgres.start()
        while not made.postgres.answers():
            time.sleep(0.05)
        keys = folder / "keys.json"
        foreword("migrate", "--database-url", made.postgres.url)
        foreword("keys", "development", "--file", str(keys), "--database-url", made.postgres.url)
        made.key = orjson.loads(keys.read_bytes())["secret"]
        for member in made.members.values():
            member.start()
        made.keep_running()
        made.wait_ready()
        yield made
    finally:
        if made is not None:
            made.stop()
        if mounted:
            subprocess.run([str(shutil.which("umount")), "-l", str(data)], check=False)


def foreword(*arguments: str) -> None:
    """A command line, as its user gives it. Raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "servicekit.cli", *arguments], check=True, capture_output=True, text=True
    )


def _mount(data: Path, megabytes: int) -> bool:
    mount = shutil.which("mount")
    if mount is None:
        return False
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(data)],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def _made(folder: Path, data: Path, recommender_module: str) -> Cluster:
    ports = iter(free_ports(10))
    postgres = ChaosPostgres(data / "postgres")
    database = TcpProxy("database", [postgres.socket_path])
    url = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
    shared = {"FOREWORD_BIND": "127.0.0.1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    members: dict[str, Member] = {}

    def add(name: str, module: str, environment: Mapping[str, str]) -> Member:
        port, metrics_port = next(ports), next(ports)
        clock = folder / f"{name}.clock" if module.startswith(CLOCKED.partition("{")[0]) else None
        given = {"FOREWORD_PORT": str(port), "FOREWORD_METRICS_PORT": str(metrics_port)}
        member = Member(
            name,
            module,
            {**shared, **given, **environment},
            port,
            metrics_port,
            folder / f"{name}.log",
            clock,
        )
        member.set_clock(0)
        members[name] = member
        return member

    encoder = add("embedder", "embedder.wsgi:app", {"FOREWORD_EMBEDDER_MODEL": MODELS[0]})
    embedder = TcpProxy("embedder", [("127.0.0.1", encoder.port)])
    settings = {
        "DATABASE_URL": url,
        "FOREWORD_EMBEDDER_URL": f"http://127.0.0.1:{embedder.port}",
        "FOREWORD_SNAPSHOT_DIR": str(data / "snapshots"),
        "FOREWORD_SNAPSHOT_SECONDS": "1",
        "FOREWORD_EMBED_TIMEOUT_SECONDS": "5",
    }
    replicas = [add(f"recommender-{n}", recommender_module, settings) for n in (1, 2)]
    balancer = TcpProxy("recommender", [("127.0.0.1", one.port) for one in replicas])
    address = {"DATABASE_URL": url, "FOREWORD_RECOMMENDER_URL": f"http://127.0.0.1:{balancer.port}"}
    static = folder / "static.json"
    static.write_bytes(orjson.dumps(_STATIC))
    address |= {"FOREWORD_RATE_LIMIT": "off", "FOREWORD_STATIC_FALLBACK_FILE": str(static)}
    for number in (1, 2):
        kept = {"FOREWORD_KEPT_KEYS_FILE": str(folder / f"keys-{number}.json")}
        add(f"gateway-{number}", CLOCKED.format("gateway"), {**address, **kept})
    return Cluster(folder, data, postgres, members, database, balancer, embedder)
