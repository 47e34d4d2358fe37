"""A user's first day with the sample firm, lived once a test run and handed from worker to worker.

Loading it takes a minute beside other tests. The worker that needs it first lives it and leaves a copy of the
folder; the others take theirs from that. Whoever comes when the copy has gone lives the day anew.
"""

from __future__ import annotations

import fcntl
import pickle
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.foreword_process import (
    Answer,
    UserRun,
    environment,
    listens,
    metric,
    ports_of,
    still_running,
)


@dataclass(frozen=True, slots=True)
class FirstDay:
    """What a user saw: a first start that was stopped with Ctrl-C, and a second one."""

    settings: dict[str, str]
    first: str
    keys_mode: int
    curl: Answer
    stop_seconds: float
    stop_code: int
    left_processes: list[str]
    left_ports: list[int]
    left_sockets: list[Path]
    second: str
    second_ready_seconds: float
    second_recommender_requests: float


@dataclass(frozen=True, slots=True)
class SampleFirm:
    """What the first day was like, and the settings of a folder of one's own that is as it left one."""

    first_day: FirstDay
    settings: dict[str, str]


@contextmanager
def sample_firm(base: Path, shared: Path | None) -> Iterator[SampleFirm]:
    """The sample firm in a folder under `base`, nothing running in it; `shared` is of all workers."""
    if shared is None:
        first_day = live(base)
        yield SampleFirm(first_day, first_day.settings)
        return
    told, spare = shared / "told.pickle", shared / "spare"
    with _alone(shared):
        is_maker = not told.exists()
        if is_maker:
            first_day = live(base)
            settings = first_day.settings
            _copy(Path(settings["FOREWORD_DATA_DIR"]), spare)
            told.write_bytes(pickle.dumps(first_day))
        else:
            first_day = pickle.loads(told.read_bytes())
            settings = environment(base / "a folder", sample=True)
            _copy(spare, Path(settings["FOREWORD_DATA_DIR"]))
    try:
        yield SampleFirm(first_day, settings)
    finally:
        if is_maker:
            with _alone(shared):
                shutil.rmtree(shared, ignore_errors=True)


@contextmanager
def _alone(shared: Path) -> Iterator[None]:
    """Until it ends no other worker of this run is in here."""
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared.mkdir(exist_ok=True)
        yield


def _copy(source: Path, target: Path) -> None:
    """With owners and modes, which PostgreSQL insists on."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, timeout=120)


def live(base: Path) -> FirstDay:
    """Start as a user does, paste the line, press Ctrl-C, look at what is left, and start once more."""
    settings = environment(base / "a folder", sample=True)
    run = UserRun(settings, base / "first.txt")
    try:
        run.wait_ready()
        line = next(line for line in run.text.splitlines() if line.startswith("curl "))
        assert shlex.split(line)[0] == "curl"
        curl = _pasted(line)
        mode = stat.S_IMODE((run.folder / "keys.json").stat().st_mode)
        started = run.processes()
        stop_seconds = run.interrupt()
        left = still_running(started)
    finally:
        run.end()
    ports = [port for port in ports_of(settings) if listens(port)]
    sockets = [path for path in run.folder.rglob("*") if path.is_socket()]
    again = UserRun(settings, base / "second.txt")
    try:
        began = time.monotonic()
        again.wait_ready()
        second_ready = time.monotonic() - began
        second_requests = metric(
            int(settings["FOREWORD_RECOMMENDER_METRICS_PORT"]), "foreword_recommender_asset_writes_total"
        )
        again.interrupt()
    finally:
        again.end()
    return FirstDay(
        settings,
        run.text,
        mode,
        curl,
        stop_seconds,
        run.process.returncode,
        left,
        ports,
        sockets,
        again.text,
        second_ready,
        second_requests,
    )


def _pasted(command: str) -> Answer:
    """The printed line in a real shell, with the status and content type that curl can tell."""
    done = subprocess.run(
        ["sh", "-c", command + " -w '\\n%{http_code} %{content_type}'"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    body, _, last = done.stdout.rpartition("\n")
    status, _, content_type = last.partition(" ")
    return Answer(int(status), {"content-type": content_type}, body.encode())
