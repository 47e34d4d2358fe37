"""A person in the studio, in a real browser: signed in by the link that `make run` prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from e2e.foreword_process import REPOSITORY
from foreword_dev.stack import Stack

if TYPE_CHECKING:
    from e2e.first_day import FirstDay  # which takes these fixtures

PASSWORD = "a long enough password"
expect.set_options(timeout=20_000)  # a busy machine is slow, and no less right for it
_AXE_FOLDER = REPOSITORY / "tests" / "studio"


@dataclass(slots=True)
class Studio:
    """The studio of the running stack, and what went wrong in the browser while it was looked at."""

    url: str
    page: Page
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("networkidle")
        return self.page


def watch(page: Page, troubles: list[str], origin: str) -> None:
    """Note every console error, script error and request that leaves the host."""
    page.on("console", lambda m: troubles.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(f"script: {error}"))
    page.on("request", lambda sent: _judge(sent.url, troubles, origin))


def _judge(url: str, troubles: list[str], origin: str) -> None:
    if not url.startswith((origin, "data:")):
        troubles.append(f"left the host: {url}")


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, installed by npm."""
    script = _AXE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        beside = Path(sys.executable).with_name("npm")
        npm = str(beside) if beside.exists() else shutil.which("npm")
        assert npm, "npm is needed to install axe-core"
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"],
            cwd=_AXE_FOLDER,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return script.read_text()


@pytest.fixture(scope="session")
def operators_cookies() -> dict[str, StorageState]:
    """What the first module's browser held once it was signed in; the printed link works only once."""
    return {}


@pytest.fixture(scope="module")
def signed_in(
    chromium: Browser, stack: Stack, first_day: FirstDay, operators_cookies: dict[str, StorageState]
) -> Iterator[BrowserContext]:
    """Somebody who opened the printed link, chose a password, and is an operator now."""
    kept = operators_cookies.get("state")
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, storage_state=kept)
    context.set_default_timeout(15_000)
    if kept is None:
        host = f"http://127.0.0.1:{first_day.settings['FOREWORD_GATEWAY_PORT']}"
        found = re.search(rf"^Studio +{host}(/studio/setup/\S+)", first_day.second, re.MULTILINE)
        assert found, first_day.second
        page = context.new_page()
        join(page, f"{stack.url}{found[1]}")
        page.close()
        operators_cookies["state"] = context.storage_state()
    yield context
    context.close()


def join(page: Page, link: str, *, name: str = "Ana Ferrer", email: str = "ana@example.com") -> None:
    """Open a setup link and choose a password."""
    page.goto(link)
    page.get_by_label("Your name").fill(name)
    if page.get_by_label("E-mail").is_enabled():
        page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url("**/studio/library")


@pytest.fixture
def studio(signed_in: BrowserContext, stack: Stack) -> Iterator[Studio]:
    """A page of that person; at the end nothing may have gone wrong in the browser."""
    made = Studio(f"{stack.url}/studio", signed_in.new_page())
    watch(made.page, made.troubles, stack.url)
    yield made
    made.page.close()
    assert made.troubles == [], made.troubles
