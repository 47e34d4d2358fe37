"""A Foreword of its own with somebody signed in to its studio, to measure and photograph its pages."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, StorageState, sync_playwright

from bench.page import say
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

_FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SERVICES = ("GATEWAY", "RECOMMENDER", "EMBEDDER")


@dataclass(frozen=True, slots=True)
class Desk:
    """A running Foreword, a browser, and the cookies of an operator."""

    stack: Stack
    browser: Browser
    cookies: StorageState

    @property
    def url(self) -> str:
        return f"{self.stack.url}/studio"


@contextmanager
def own_stack(environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Empty, on free ports and the small encoder that needs no model."""
    folder = Path(tempfile.mkdtemp(prefix="foreword-bench-"))
    probes = [socket.socket() for _ in range(2 * len(_SERVICES))]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = iter([str(probe.getsockname()[1]) for probe in probes])
    given = {"FOREWORD_DATA_DIR": str(folder), "FOREWORD_SAMPLE": "0"}
    for name in _SERVICES:
        given |= {f"FOREWORD_{name}_PORT": next(ports), f"FOREWORD_{name}_METRICS_PORT": next(ports)}
    for probe in probes:
        probe.close()
    added = {"FOREWORD_EMBEDDER_MODEL": "hashing-384", **(environment or {})}
    try:
        with running(RunSettings.from_environment(given), say, added) as stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def signed_in(stack: Stack) -> Iterator[Desk]:
    """Somebody who opens a setup link and chooses a password, as an operator would."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise SystemExit("Chromium is needed; install it, or name it in CHROMIUM.")
    command = [sys.executable, "-m", "servicekit.cli", "studio", "setup-link", "--url", stack.url]
    command += ["--database-url", stack.database_url]
    link = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        context = browser.new_context()
        page = context.new_page()
        page.goto(link)
        page.get_by_label("Your name").fill("Ana Ferrer")
        page.get_by_label("E-mail").fill("ana@example.com")
        page.get_by_label("Password").fill("a long enough password")
        page.get_by_role("button", name="Begin").click()
        page.wait_for_url("**/studio/library")
        cookies = context.storage_state()
        context.close()
        yield Desk(stack, browser, cookies)
        browser.close()
