"""What goes wrong in a chaos run, and when: a plan that a seed decides, and the hands that carry it out."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from foreword_dev.chaos.cluster import MODELS, Cluster
from foreword_dev.chaos.ledger import Ledger

_HOLD_SECONDS = 3.0
_JUMPS = (45, -45, 3_600, -3_600, 26 * 3_600, -26 * 3_600)
_AIM_SECONDS = 5.0
_BACK_SECONDS = 10.0
_OTHER_GATEWAY = {"gateway-1": "gateway-2", "gateway-2": "gateway-1"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: `at` seconds after the start; `kills` says how many processes' ends it is."""

    at: float
    name: str
    kills: int = 0


KILLS = {
    "recommender-1": 6,
    "recommender-2": 6,
    "gateway-1": 4,
    "gateway-2": 4,
    "embedder": 3,
    "postgres": 3,
    "a database process": 2,
    "a worker of recommender-1": 2,
    "a worker of gateway-2": 2,
    "both recommenders": 1,
    "both recommenders in an import": 2,
    "a recommender writing its snapshot": 1,
    "both recommenders re-embedding": 1,
}
OTHERS = (
    "database slow",
    "embedder slow",
    "database lines cut",
    "recommender lines cut",
    "embedder lines cut",
    "disk full",
    "clock jumps",
    "migration killed",
    "model changed",
)
_TWO = frozenset(name for name in KILLS if name.startswith("both"))


def plan(seed: int, kills: int, seconds: float) -> list[Planned]:
    """At least `kills` processes killed over `seconds`, and between them every other fault in turn."""
    rng = random.Random(seed)
    made: list[Planned] = []
    done = 0
    names, weights = list(KILLS), list(KILLS.values())
    # Each at least once where there is room for it, then by weight.
    first = [n for n in names if len(names) <= kills // 2]
    while done < kills:
        name = first.pop() if first else rng.choices(names, weights)[0]
        count = 2 if name in _TWO else 1
        made.append(Planned(rng.uniform(0, seconds), name, count))
        done += count
    others = max(1, round(kills / 5)) if kills >= 10 else 0
    made += [
        Planned(seconds * (number + rng.random()) / others, OTHERS[number % len(OTHERS)])
        for number in range(others)
    ]
    return sorted(made, key=lambda one: one.at)


@dataclass(slots=True)
class Faults:
    """Carries a plan out on a running cluster, one fault after the other, and counts what it did."""

    cluster: Cluster
    ledger: Ledger
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    migrations: int = 0
    broken_migrations: list[str] = field(default_factory=list)
    full_seconds: float = 0.0
    _database_number: int = 0

    def run(self, planned: Sequence[Planned], seconds: float, told: Callable[[str], None]) -> None:
        began = time.monotonic()
        for one in planned:
            time.sleep(max(0.0, began + one.at - time.monotonic()))
            told(f"{time.monotonic() - began:7.1f} s  {one.name}")
            self._carry_out(one)
            self.done[one.name] += 1
        time.sleep(max(0.0, began + seconds - time.monotonic()))

    def _carry_out(self, one: Planned) -> None:
        members = self.cluster.members
        name = one.name
        victim = name.removeprefix("a worker of ")
        if victim in _OTHER_GATEWAY and not self._is_back(_OTHER_GATEWAY[victim]):
            # With both gone nobody answers, which needs no proof; the kill goes elsewhere.
            self.kills += members["recommender-1"].kill()
        elif name in members:
            self.kills += members[name].kill()
        elif victim in members:
            self.kills += members[victim].kill_worker()
        elif name == "postgres":
            self.kills += self.cluster.postgres.kill()
        elif name == "a database process":
            self.kills += self.cluster.postgres.kill_backend(self.rng)
        elif name == "both recommenders":
            self._kill_recommenders()
        else:
            _MORE[name](self)

    def _is_back(self, name: str) -> bool:
        deadline = time.monotonic() + _BACK_SECONDS
        while not self.cluster.members[name].is_ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _kill_recommenders(self) -> None:
        for name in ("recommender-1", "recommender-2"):
            self.kills += self.cluster.members[name].kill()

    def in_import(self) -> None:
        if self.ledger.importing.wait(_AIM_SECONDS):
            time.sleep(self.rng.uniform(0.0, 0.4))
        self._kill_recommenders()

    def writing_snapshot(self) -> None:
        """A snapshot is written beside the old one under a name that begins with a dot."""
        deadline = time.monotonic() + _AIM_SECONDS
        while time.monotonic() < deadline and not list(self.cluster.snapshots.glob(".catalogue*")):
            time.sleep(0.0005)
        victim = self.rng.choice(("recommender-1", "recommender-2"))
        self.kills += self.cluster.members[victim].kill()

    def re_embedding(self) -> None:
        self.change_model()
        time.sleep(self.rng.uniform(1.5, 3.5))
        self._kill_recommenders()

    def change_model(self) -> None:
        """The embedder comes back with another model; every asset is embedded anew beside the live index."""
        embedder = self.cluster.members["embedder"]
        now = MODELS.index(embedder.environment["FOREWORD_EMBEDDER_MODEL"])
        embedder.environment["FOREWORD_EMBEDDER_MODEL"] = MODELS[1 - now]
        embedder.kill()

    def slow_database(self) -> None:
        self.cluster.database.delay_seconds = 0.1
        time.sleep(_HOLD_SECONDS)
        self.cluster.database.delay_seconds = 0.0

    def slow_embedder(self) -> None:
        self.cluster.embedder.delay_seconds = 1.0
        time.sleep(_HOLD_SECONDS)
        self.cluster.embedder.delay_seconds = 0.0

    def fill_disk(self) -> None:
        """To the last byte where the data folder is a file system of its own; else files grow no more."""
        ballast = self.cluster.data / "ballast"
        began = time.monotonic()
        if self.cluster.data.is_mount():
            with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
                while True:
                    out.write(b"\0" * 1024 * 1024)
            time.sleep(_HOLD_SECONDS)
            ballast.unlink()
        else:
            self._limit_files(1024 * 1024)
            time.sleep(_HOLD_SECONDS)
            self._limit_files(-1)
        self.full_seconds += time.monotonic() - began

    def _limit_files(self, most_bytes: int) -> None:
        import psutil

        for process in self.cluster.postgres.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (most_bytes, hard))

    def jump_clock(self) -> None:
        """One process's clock is wrong for a while, and right again."""
        able = [member for member in self.cluster.members.values() if member.clock is not None]
        member = self.rng.choice(able)
        member.set_clock(self.rng.choice(_JUMPS))
        time.sleep(_HOLD_SECONDS)
        member.set_clock(0)

    def kill_migration(self) -> None:
        """On a database of its own, killed at any moment and run again: it ends as one that nobody killed."""
        self._database_number += 1
        name = f"migrated_{self._database_number}"
        try:
            with psycopg.connect(self.cluster.postgres.url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(f"CREATE DATABASE {name}")
        except psycopg.Error:
            return  # the database is away from another fault: this one comes round again
        url = self.cluster.postgres.url.replace("/postgres?", f"/{name}?")
        command = [sys.executable, "-m", "servicekit.cli", "migrate", "--database-url", url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(self.rng.uniform(0.8, 3.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.kills += 1
        last = ""
        for _ in range(20):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            last = (done.stderr or done.stdout).strip()[-300:]
            time.sleep(0.5)
        else:
            self.broken_migrations.append(f"{name}: {last}")
            return
        self.migrations += 1
        with contextlib.suppress(psycopg.Error):
            if schema_of(url) != schema_of(self.cluster.postgres.url):
                self.broken_migrations.append(f"{name}: its schema is another")


_MORE: dict[str, Callable[[Faults], None]] = {
    "both recommenders in an import": Faults.in_import,
    "a recommender writing its snapshot": Faults.writing_snapshot,
    "both recommenders re-embedding": Faults.re_embedding,
    "database slow": Faults.slow_database,
    "embedder slow": Faults.slow_embedder,
    "database lines cut": lambda faults: _cut(faults.cluster.database.cut),
    "recommender lines cut": lambda faults: _cut(faults.cluster.recommender.cut),
    "embedder lines cut": lambda faults: _cut(faults.cluster.embedder.cut),
    "disk full": Faults.fill_disk,
    "clock jumps": Faults.jump_clock,
    "migration killed": Faults.kill_migration,
    "model changed": Faults.change_model,
}


def _cut(cut: Callable[[], int]) -> None:
    cut()


_SCHEMA = """
SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace IN ('recommender'::regnamespace, 'gateway'::regnamespace) AND NOT c.relispartition
  AND c.relkind IN ('r', 'p', 'i', 'I') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, 2
"""


def schema_of(url: str) -> list[tuple[object, ...]]:
    """Every column and index of our tables, without their partitions, which traffic makes."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(_SCHEMA).fetchall()


def leftovers(folder: Path) -> list[str]:
    """Halves of snapshots that killed processes left behind."""
    return sorted(path.name for path in folder.glob(".catalogue*")) if folder.is_dir() else []
