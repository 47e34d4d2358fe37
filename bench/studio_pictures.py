"""Photographs of the studio with the sample firm, at the width of a desk and of a phone.

python -m bench.studio_pictures --to docs/img
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from playwright.sync_api import FilePayload, Page

from bench.page import say
from bench.studio_browser import Desk, own_stack, signed_in
from foreword_client import Client
from foreword_dev import sample_firm

WIDTHS = (1440, 390)
PAGES = {
    "library": "/library",
    "filtered": "/library?language=en&stage=decision",
    "empty": "/library?q=nothing+like+this",
    "asset": "/asset?id={asset}",
    "upload": "/upload",
    "coverage": "/coverage",
    "brief": "/coverage/brief?stage=decision&persona=it",
    "accounts": "/accounts",
    "accounts-empty": "/accounts?q=nobody+like+this",
    "account": "/account?id=kornblum",
    "buyers": "/buyers",
    "buyer": "/buyer?id=adaeze.nwosu",
    "placements": "/placements",
    "placement": "/placement?id=blog-sidebar",
    "goals": "/goals",
    "people": "/people",
    "keys": "/keys",
    "webhooks": "/webhooks",
    "audit": "/audit",
    "error": "/asset?id=was-never-there",
}


def photograph(page: Page, name: str, folder: Path) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900 if width > 400 else 844})
        page.wait_for_timeout(200)
        page.screenshot(path=folder / f"studio-{name}-{width}.png", full_page=True)


def work(desk: Desk, page: Page, folder: Path) -> None:
    """Some work first, so that there is a history; then every page."""
    page.goto(f"{desk.url}/upload")
    guide = b"# A guide to lanes\n\n" + b"Which lane to choose, and why. " * 40
    files: list[FilePayload] = [
        {"name": "a guide to lanes.md", "mimeType": "text/markdown", "buffer": guide},
        {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 and nothing more"},
    ]
    page.locator("input[type=file]").set_input_files(files)
    page.locator(".file.ready").wait_for()
    page.locator(".file.failed").wait_for()
    page.wait_for_load_state("networkidle")
    photograph(page, "uploaded", folder)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator(".file.ready").get_by_role("button", name="Save and approve").click()
    page.locator(".file.live").wait_for()
    page.goto(f"{desk.url}/library")
    first = page.locator("td .title").nth(3)
    title = first.get_attribute("href") or ""
    asset = title.partition("id=")[2]
    page.goto(f"{desk.url}/placement?id=blog-sidebar")
    page.get_by_label("Pin").fill(asset)
    page.get_by_role("button", name="Save the rules").click()
    page.wait_for_load_state("networkidle")
    for name, path in PAGES.items():
        page.goto(desk.url + path.format(asset=asset))
        page.wait_for_load_state("networkidle")
        photograph(page, name, folder)
        say(name)
    page.context.clear_cookies()
    page.goto(f"{desk.url}/sign-in")
    photograph(page, "sign-in", folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    given = {n: os.environ[n] for n in ("FOREWORD_PROMETHEUS_URL",) if n in os.environ}
    with own_stack(given) as stack, signed_in(stack) as desk:
        say("Loading the sample firm")
        client = Client(stack.url, stack.keys["secret"])
        failures = sample_firm.load(client, sample_firm.start_of_today(), lambda *_: None)
        if failures:
            raise SystemExit(str(failures))
        page = desk.browser.new_context(storage_state=desk.cookies).new_page()
        page.wait_for_timeout(25_000)  # buyers are folded and accounts counted beside the requests
        work(desk, page, asked.to)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
