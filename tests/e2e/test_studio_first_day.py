"""One journey: from the link that an operator prints to the first recommendation that a visitor sees."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.foreword_process import Api, wait_until
from e2e.studio_session import PASSWORD, join, watch
from foreword_dev.stack import Stack
from unit.recommender.extraction.made_files import slide_deck

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("signed_in")  # the link of the first start works only while there is nobody
def test_from_the_setup_link_to_the_first_recommendation(
    chromium: Browser, stack: Stack, api: Api, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "servicekit.cli", "studio", "setup-link", "--email", "bea@example.com"]
    command += ["--role", "approver", "--url", stack.url, "--database-url", stack.database_url]
    link = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert link.startswith(f"{stack.url}/studio/setup/")
    troubles: list[str] = []
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(15_000)
    page = context.new_page()
    watch(page, troubles, stack.url)
    join(page, link, name="Bea Costa")
    expect(page.get_by_role("status")).to_contain_text("Welcome, Bea Costa.")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail").fill("bea@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/studio/library")
    page.get_by_role("main").get_by_role("button", name="Upload").click()
    (tmp_path / "first-day-workshop.pptx").write_bytes(slide_deck())
    page.locator("input[type=file]").set_input_files(tmp_path / "first-day-workshop.pptx")
    card = page.locator(".file.ready")
    expect(card.get_by_label("Title")).to_have_value("Three months to a shortlist")
    assert api.get_asset("first-day-workshop").json()["status"] == "draft"
    card.get_by_label("Topics").fill("buying groups")
    card.get_by_role("button", name="Save and approve").click()
    expect(page.locator(".file.live")).to_contain_text("is live")
    approved = time.monotonic()
    # A visitor of whom nothing is known but the page they read.
    asked = {"count": 20, "anonymous_id": "first-day", "context": {"query": "Three months to a shortlist"}}
    wait_until(lambda: "first-day-workshop" in api.recommended(**asked), 2.0, "it is recommended")
    assert time.monotonic() - approved <= 2.0
    page.get_by_role("link", name="open", exact=True).click()
    expect(page.get_by_role("heading", name="Three months to a shortlist", level=1)).to_be_visible()
    expect(page.locator("[aria-labelledby=h-history]")).to_contain_text("Bea Costa")
    context.close()
    assert troubles == []
