"""Foreword as a process of its own, seen from outside: started as a user does, stopped, killed, asked."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import psutil
import urllib3

from foreword_dev.free_ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
HASHING = "hashing-384"
TOLD = "Ctrl-C stops everything."
_PORT_NAMES = ("GATEWAY", "RECOMMENDER", "EMBEDDER")


@contextmanager
def own_folder() -> Iterator[Path]:
    """Not pytest's: it closes its folder to others, and for root's sake PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="foreword-e2e-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, *, sample: bool = False, model: str = HASHING) -> dict[str, str]:
    """The settings of a Foreword of our own: its folder, six free ports, the encoder."""
    ports = iter(free_ports(6))
    settings = {
        "FOREWORD_DATA_DIR": str(folder),
        "FOREWORD_SAMPLE": "1" if sample else "0",
        "FOREWORD_EMBEDDER_MODEL": model,
    }
    for name in _PORT_NAMES:
        settings[f"FOREWORD_{name}_PORT"] = str(next(ports))
        settings[f"FOREWORD_{name}_METRICS_PORT"] = str(next(ports))
    return settings


def ports_of(settings: Mapping[str, str]) -> list[int]:
    return [int(value) for name, value in settings.items() if name.endswith("_PORT")]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Ask until it holds. → seconds it took; fails with `what` when it does not in time."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - started


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.body.splitlines() if line]


class Api:
    """Raw requests with a key, and nothing made easier than it is for a client."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.key = key
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=60.0)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        response = self._pool.request(
            method, self.url + path, body=body, headers={**sent, **(headers or {})}, redirect=False
        )
        return Answer(
            response.status, {k.lower(): v for k, v in response.headers.items()}, response.data or b""
        )

    def post(self, path: str, value: Any) -> Answer:
        return self.send("POST", path, orjson.dumps(value), {"Content-Type": "application/json"})

    def put_asset(self, asset_id: str, **fields: Any) -> Answer:
        asset = {"title": asset_id, "url": f"https://www.example.com/{quote(asset_id)}", **fields}
        path = f"/v1/assets/{quote(asset_id, safe='')}"
        return self.send("PUT", path, orjson.dumps(asset), {"Content-Type": "application/json"})

    def get_asset(self, asset_id: str) -> Answer:
        return self.send("GET", f"/v1/assets/{quote(asset_id, safe='')}")

    def upload(self, name: str, data: bytes, **fields: Any) -> Answer:
        parts: dict[str, Any] = {"files": (name, data), "base_url": "https://www.example.com/files"}
        if fields:
            parts["fields"] = orjson.dumps({name: fields}).decode()
        body, content_type = urllib3.encode_multipart_formdata(parts)
        return self.send("POST", "/v1/assets:upload", body, {"Content-Type": content_type})

    def rows(self, data: bytes, content_type: str) -> Answer:
        return self.send("POST", "/v1/assets:import", data, {"Content-Type": content_type})

    def track(self, user_id: str, event: str, **more: Any) -> Answer:
        return self.post("/v1/track", {"userId": user_id, "event": event, **more})

    def recommended(self, **request: Any) -> list[str]:
        answer = self.post("/v1/recommendations", request)
        assert answer.status == 200, answer.body
        return [item["id"] for item in answer.json()["items"]]


def still_running(processes: list[psutil.Process], seconds: float = 3.0) -> list[str]:
    """Command lines of those that do not end in time; a zombie that nobody has buried yet has ended."""

    def alive() -> list[psutil.Process]:
        found = []
        for process in processes:
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    deadline = time.monotonic() + seconds
    while (left := alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [" ".join(process.cmdline()) for process in left]


def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels; 0 when there is none yet."""
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False).data.decode()
    total = 0.0
    for line in text.splitlines():
        found = re.match(r"([a-z_:A-Z0-9]+)(?:\{(.*)\})? ([^ ]+)", line)
        if found is None or found[1] != name:
            continue
        given = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
        if all(given.get(label) == value for label, value in labels.items()):
            total += float(found[3])
    return total


@dataclass(slots=True)
class UserRun:
    """`python -m foreword_dev.run`, which is all that `make run` does after installing."""

    settings: Mapping[str, str]
    output: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "foreword_dev.run"],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "COLUMNS": "160", **self.settings},
                cwd=REPOSITORY,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def folder(self) -> Path:
        return Path(self.settings["FOREWORD_DATA_DIR"])

    @property
    def api(self) -> Api:
        keys = orjson.loads((self.folder / "keys.json").read_bytes())
        return Api(f"http://127.0.0.1:{self.settings['FOREWORD_GATEWAY_PORT']}", keys["secret"])

    def wait_ready(self, seconds: float = 180.0) -> float:
        def told() -> bool:
            code = self.process.poll()
            assert code is None, f"it ended with {code} and said: {self.text}"
            return TOLD in self.text

        return wait_until(told, seconds, f"the run is ready; it said:\n{self.text}")

    def processes(self) -> list[psutil.Process]:
        """The runner, the services with their workers, and PostgreSQL's postmaster with its children."""
        found = [psutil.Process(self.process.pid)]
        found += found[0].children(recursive=True)
        # While a database is made, the file holds the negative number of a server without a postmaster.
        pid_file = self.folder / "postgres" / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            server = psutil.Process(abs(int(pid_file.read_text().splitlines()[0])))
            found += [server, *server.children(recursive=True)]
        return found

    def interrupt(self) -> float:
        """Ctrl-C, which a terminal sends to the whole group. → seconds until it has ended."""
        started = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - started

    def kill_everything(self) -> None:
        """`kill -9` of all at once: nobody gets to tidy up after another."""
        doomed = self.processes()
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        psutil.wait_procs(doomed, timeout=10)

    def end(self) -> None:
        """For clean-up, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill_everything()
