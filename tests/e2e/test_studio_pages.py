"""Every page of the studio in a real browser: accessible, small, fitting, and quiet."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.foreword_process import Api
from e2e.studio_session import PASSWORD, Studio
from foreword_dev.stack import Stack

pytestmark = pytest.mark.slow

PAGES = (
    "/library",
    "/library?status=draft&q=nothing-has-this",
    "/library?q=cold+chain&by=meaning",
    "/library?language=en&tag=topics:nobody-has-this",
    "/asset?id={asset}",
    "/upload",
    "/coverage",
    "/coverage?by=topic",
    "/coverage/brief?stage=decision&persona=it",
    "/accounts",
    "/accounts?sort=stage&order=asc",
    "/accounts?q=nothing-has-this",
    "/buyers",
    "/buyers?missed=nobody",
    "/buyer?id=adaeze.nwosu",
    "/account?id=kornblum",
    "/placements",
    "/placement?id=blog-sidebar",
    "/goals",
    "/people",
    "/keys",
    "/webhooks",
    "/webhooks?state=failed",
    "/audit",
    "/audit?q=nothing-has-this",
)
_RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
_MOST_BYTES = 150_000


def some_asset(api: Api) -> str:
    return str(api.send("GET", "/v1/assets?page_size=1").json()["assets"][0]["id"])


def violations(page: Page, rules: str) -> list[str]:
    # Through the debugger, which a page's policy does not stop.
    page.evaluate(rules + "; undefined")
    found = page.evaluate("options => axe.run(document, options)", _RULES)
    return [
        f"{page.url}: {v['id']}: {node['html'][:160]}" for v in found["violations"] for node in v["nodes"][:2]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_accessible_small_and_fits(studio: Studio, api: Api, axe: str, path: str) -> None:
    sizes: list[int] = []
    studio.page.on("requestfinished", lambda sent: sizes.append(sent.sizes()["responseBodySize"]))
    page = studio.open(path.format(asset=quote(some_asset(api), safe="")))
    assert violations(page, axe) == []
    assert sum(sizes) < _MOST_BYTES
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} wide at {width}"


def test_signing_in_and_the_pages_before_it_are_accessible_too(
    signed_in: BrowserContext, stack: Stack, axe: str
) -> None:
    browser = signed_in.browser
    assert browser is not None
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{stack.url}/studio/library?q=a")
    assert "/studio/sign-in" in page.url
    assert violations(page, axe) == []
    page.get_by_label("E-mail").fill("ana@example.com")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/studio/library?q=a")
    page.goto(f"{stack.url}/studio/setup/never-given-out")
    assert violations(page, axe) == []
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    context.close()
