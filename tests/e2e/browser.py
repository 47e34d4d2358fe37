"""A real, headless Chromium: Debian's own, driven by Playwright, a fresh profile for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# A container has neither user namespaces nor much shared memory; the tests visit their own pages alone.
_FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT_MILLISECONDS = 10_000


def chromium_path() -> str:
    """CHROMIUM names the program, else it is looked for; .ci/run installs it. A test never skips for it."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "Chromium is needed; install it (Debian: apt-get install chromium), or name it in CHROMIUM."
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a module, and not a session: while it is there, asyncio cannot be used in its thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def chromium_page(chromium: Browser) -> Iterator[Page]:
    """A page in a context of its own: no cookie, no storage, no cache of another test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_WAIT_MILLISECONDS)
    yield context.new_page()
    context.close()
