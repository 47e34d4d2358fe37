"""One Foreword with the sample firm for the whole session, started first as a user starts it."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.browser import chromium, chromium_page
from e2e.foreword_process import (
    Answer,
    Api,
    UserRun,
    environment,
    listens,
    metric,
    own_folder,
    ports_of,
    still_running,
)
from e2e.studio_session import axe, operators_cookies, signed_in, studio
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

__all__ = ["axe", "chromium", "chromium_page", "operators_cookies", "signed_in", "studio"]


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


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder for a Foreword of the test's own."""
    with own_folder() as made:
        yield made


@pytest.fixture(scope="session")
def user_folder() -> Iterator[Path]:
    with own_folder() as made:
        yield made


@pytest.fixture(scope="session")
def first_day(user_folder: Path) -> FirstDay:
    base = user_folder
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


@pytest.fixture(scope="session")
def stack(first_day: FirstDay) -> Iterator[Stack]:
    """The sample firm of the user's first day, started from here, on the hashing encoder."""
    settings = RunSettings.from_environment({**os.environ, **first_day.settings})
    with running(settings, lambda _: None, {"FOREWORD_EMBEDDER_MODEL": "hashing-384"}) as started:
        yield started


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    return Api(stack.url, stack.keys["secret"])


def _server_errors(stack: Stack) -> float:
    return metric(
        stack.settings.gateway.metrics, "foreword_gateway_http_requests_total", status="5xx"
    ) + metric(stack.settings.recommender.metrics, "foreword_recommender_http_requests_total", status="5xx")


@pytest.fixture
def no_server_error(stack: Stack) -> Iterator[None]:
    """Whatever the test sends, neither gateway nor recommender answers a 5xx."""
    before = _server_errors(stack)
    yield
    assert _server_errors(stack) == before, "a service answered with a 5xx"
