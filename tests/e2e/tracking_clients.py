"""Other people's tracking clients, installed as they are, and a relay that notes what they send."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from flask import Flask, Response, request

from unit.gateway.gateway_stand_in import serve

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive", "server", "date"}


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def _newer(made: Path, source: Path) -> bool:
    return made.exists() and made.stat().st_mtime >= source.stat().st_mtime


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """The npm packages of package-lock.json, put there by npm itself. → their folder."""
    made = CLIENTS / "node_modules" / ".package-lock.json"
    if not _newer(made, CLIENTS / "package-lock.json"):
        # `npm ci` wants the packages of every platform in the lock file, which a mirror may not have.
        npm = [str(Path(sys.executable).with_name("npm")), "install", "--no-save", "--omit=optional"]
        npm += ["--ignore-scripts", "--no-audit", "--no-fund"]
        _run(npm, cwd=CLIENTS)
        made.touch()
    return CLIENTS / "node_modules"


@pytest.fixture(scope="session")
def python_clients() -> Path:
    """An environment with the packages of requirements.txt. → its interpreter."""
    folder = CLIENTS / ".venv"
    made = folder / ".made"
    wanted = CLIENTS / "requirements.txt"
    if not _newer(made, wanted):
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        _run([*pip, "--python", str(folder / "bin" / "python"), "install", "-r", str(wanted)])
        made.touch()
    return folder / "bin" / "python"


@dataclass(slots=True)
class Told:
    """One request as a client sent it, and the answer it got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes

    def events(self) -> list[dict[str, Any]]:
        """The events in it, each with the `sentAt` that it came with."""
        packed = self.headers.get("content-encoding") == "gzip"
        document = orjson.loads(gzip.decompress(self.body) if packed else self.body)
        return document.get("batch", [document])  # type: ignore[no-any-return]


@dataclass(slots=True)
class Recorder:
    """A relay before the gateway that changes nothing: what passes is noted byte for byte."""

    url: str
    told: list[Told] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def note(self, told: Told) -> None:
        with self._news:
            self.told.append(told)
            self._news.notify_all()

    def tracked(self) -> list[Told]:
        return [told for told in self.told if told.method == "POST" and not told.path.endswith("/m")]

    def wait_for_events(self, count: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        def enough() -> bool:
            return sum(len(told.events()) for told in self.tracked()) >= count

        with self._news:
            assert self._news.wait_for(enough, seconds), f"{self.tracked()}"
        return [event for told in self.tracked() for event in told.events()]


@contextmanager
def recording(gateway: str) -> Iterator[Recorder]:
    recorder = Recorder(gateway)
    pool = urllib3.PoolManager(retries=False, timeout=30.0)
    app = Flask("recorder", static_folder=None)

    @app.route("/<path:path>", methods=["GET", "POST", "OPTIONS", "HEAD"], provide_automatic_options=False)
    def pass_on(path: str) -> Response:
        body = request.get_data()
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        sent["Host"] = request.host
        answer = pool.request(
            request.method,
            gateway + request.full_path.removesuffix("?"),
            body=body,
            headers=sent,
            decode_content=False,
            redirect=False,
        )
        recorder.note(
            Told(
                request.method,
                request.path,
                {name.lower(): value for name, value in request.headers.items()},
                body,
                answer.status,
                answer.data,
            )
        )
        headers = [(n, v) for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP]
        return Response(answer.data, status=answer.status, headers=headers)

    with serve(app) as recorder.url:
        yield recorder


def send_with(command: list[str], calls: list[dict[str, Any]], url: str, key: str) -> None:
    """Run a client's program; it fails if the client was told of an error."""
    _run([*command, url, key], input=orjson.dumps(calls).decode(), cwd=CLIENTS)
