"""The web component in a real browser, on a page of another origin with a strict Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

import orjson
import pytest
from flask import Flask, Response
from playwright.sync_api import Page, expect

from e2e.browser import chromium, chromium_page
from unit.gateway.gateway_fixtures import Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn, running_stand_in, serve

__all__ = ["chromium", "chromium_page"]

_LARGEST = 10_000
# Until the script has come, the page itself keeps the place free; the docs say how much.
_RESERVED = "foreword-recommendations:not(:defined){display:block;min-height:27.75rem}"
_RESERVED_HASH = base64.b64encode(hashlib.sha256(_RESERVED.encode()).digest()).decode()
_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({type: "layout-shift", buffered: true});
"""
WIDGET = "foreword-recommendations"


@dataclass(slots=True)
class Site:
    """A firm's website, a gateway of another origin, and the recommender that stands behind it."""

    url: str
    gateway_url: str
    gateway: Gateway
    recommender: StandIn
    body: str = ""
    refused: list[str] = field(default_factory=list)  # what the page's policy objected to

    def show(self, page: Page, before: str = "", after: str = "", **attributes: str) -> None:
        """Open a page with the widget as the docs say to paste it."""
        given = {"key": self.gateway.publishable, "placement": "blog-sidebar", "count": "3", **attributes}
        named = " ".join(f'{name.replace("_", "-")}="{escape(value)}"' for name, value in given.items())
        self.body = f"{before}<{WIDGET} {named}></{WIDGET}><p id=after>Below</p>{after}"
        page.goto(self.url)

    def sent(self, path: str) -> list[dict[str, Any]]:
        return [orjson.loads(seen["body"]) for seen in self.recommender.seen if seen["path"] == path]

    def impressions(self) -> list[dict[str, Any]]:
        return [event for batch in self.sent("/v1/signals") for event in batch.get("batch", [])]


def _pages(site: Site) -> Flask:
    app = Flask("website", static_folder=None)

    @app.get("/")
    def home() -> Response:
        policy = (
            f"default-src 'none'; script-src {site.gateway_url}; connect-src {site.gateway_url}; "
            f"style-src 'sha256-{_RESERVED_HASH}'; img-src https:; report-uri /refused; "
            "require-trusted-types-for 'script'"
        )
        html = (
            "<!doctype html><html lang=en><title>Blog</title>"
            f'<script src="{site.gateway_url}/widget.js" async></script>'
            f"<style>{_RESERVED}</style>"
            f"<body>{site.body}</body></html>"
        )
        return Response(html, mimetype="text/html", headers={"Content-Security-Policy": policy})

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status=204)

    @app.post("/refused")
    def refused() -> Response:
        from flask import request

        site.refused.append(request.get_data(as_text=True))
        return Response(status=204)

    return app


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    with running_stand_in() as recommender:
        gateway = make_gateway(recommender)
        site = Site("", "", gateway, recommender)
        with serve(gateway.app) as site.gateway_url, serve(_pages(site)) as site.url:
            yield site


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.recommender.reset()
    running_site.gateway.reset()
    running_site.refused.clear()
    return running_site


def test_the_script_is_small_and_cached(site: Site) -> None:
    answer = site.gateway.client.get("/widget.js")
    assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
    assert len(answer.data) < _LARGEST
    again = site.gateway.client.get("/widget.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_it_shows_what_fits_and_moves_nothing(site: Site, chromium_page: Page) -> None:
    chromium_page.add_init_script(_SHIFTS)
    site.recommender.delay_seconds = 0.3  # a reader has begun to read by then
    site.show(chromium_page, heading="Worth your time")
    widget = chromium_page.locator(WIDGET)
    expect(widget.get_by_role("heading", name="Worth your time")).to_be_visible()
    expect(widget.get_by_role("region", name="Worth your time")).to_be_visible()
    assert widget.get_by_role("list").get_by_role("listitem").count() == 3
    expect(widget.get_by_role("link", name="Title 1")).to_be_visible()
    expect(chromium_page.locator("#after")).to_be_visible()
    assert chromium_page.evaluate("window.shifts") == []
    assert site.refused == []
    asked = site.sent("/v1/recommendations")[0]
    assert (asked["placement"], asked["count"]) == ("blog-sidebar", 3)
    assert asked["context"]["url"].startswith(site.url)


def test_an_impression_is_half_of_it_for_a_second_and_only_once(site: Site, chromium_page: Page) -> None:
    chromium_page.set_viewport_size({"width": 800, "height": 350})
    site.show(chromium_page, anonymous_id="a-1")
    expect(chromium_page.locator(WIDGET).get_by_role("link", name="Title 1")).to_be_visible()
    chromium_page.wait_for_timeout(500)
    assert site.impressions() == []
    chromium_page.wait_for_timeout(1300)
    first = site.impressions()
    assert [event["properties"]["asset_id"] for event in first] == ["asset-1", "asset-2"]
    assert {event["event"] for event in first} == {"Recommendation Viewed"}
    assert {event["anonymousId"] for event in first} == {"a-1"}
    assert first[0]["properties"]["recommendation_id"] == "rec-1"
    chromium_page.mouse.wheel(0, 400)
    chromium_page.wait_for_timeout(1700)
    assert [event["properties"]["asset_id"] for event in site.impressions()] == [
        "asset-1",
        "asset-2",
        "asset-3",
    ]


def test_what_is_left_quickly_was_not_seen(site: Site, chromium_page: Page) -> None:
    site.show(
        chromium_page,
    )
    expect(chromium_page.locator(WIDGET).get_by_role("link", name="Title 1")).to_be_visible()
    chromium_page.wait_for_timeout(300)
    chromium_page.goto("about:blank")
    chromium_page.wait_for_timeout(1300)
    assert site.impressions() == []


def test_it_asks_only_when_it_is_near(site: Site, chromium_page: Page) -> None:
    site.show(chromium_page, before="<br>" * 200)
    chromium_page.wait_for_timeout(400)
    assert site.sent("/v1/recommendations") == []
    chromium_page.locator(WIDGET).scroll_into_view_if_needed()
    expect(chromium_page.locator(WIDGET).get_by_role("link", name="Title 1")).to_be_visible()
    assert len(site.sent("/v1/recommendations")) == 1


def test_a_click_goes_by_the_signed_link_and_is_recorded(site: Site, chromium_page: Page) -> None:
    chromium_page.route("https://www.example.com/**", lambda route: route.fulfill(body="The asset"))
    site.show(chromium_page, anonymous_id="a-2")
    link = chromium_page.locator(WIDGET).get_by_role("link", name="Title 2")
    assert (link.get_attribute("href") or "").startswith(f"{site.gateway_url}/c/")
    link.click()
    chromium_page.wait_for_url("https://www.example.com/2")
    clicks = [event for event in site.sent("/v1/signals") if event.get("event") == "Recommendation Clicked"]
    assert [(event["anonymousId"], event["properties"]["asset_id"]) for event in clicks] == [
        ("a-2", "asset-2")
    ]


@pytest.mark.parametrize("trouble", ["empty", "refused", "away", "nonsense"])
def test_nothing_at_all_is_shown_when_nothing_fits(site: Site, chromium_page: Page, trouble: str) -> None:
    attributes = {}
    if trouble == "empty":
        site.recommender.catalogue.clear()
    elif trouble == "refused":
        attributes["key"] = "fw_pk_nobody"
    elif trouble == "away":
        attributes["base"] = "http://127.0.0.1:9"
    else:
        chromium_page.route("**/v1/recommendations", lambda route: route.fulfill(body="<html>"))
    site.show(chromium_page, **attributes)
    chromium_page.wait_for_function(f"() => document.querySelector('{WIDGET}').hidden")
    assert chromium_page.locator(WIDGET).evaluate(
        "e => [e.offsetHeight, e.shadowRoot.childElementCount]"
    ) == [
        0,
        0,
    ]


def test_hostile_content_is_text_and_hostile_addresses_are_left_out(site: Site, chromium_page: Page) -> None:
    hostile = "<img src=x onerror='document.title=\"owned\"'>"
    answer = {
        "recommendation_id": "r",
        "items": [
            {"id": "1", "title": hostile, "url": "https://www.example.com/1", "type": "blog", "rank": 1},
            {
                "id": "2",
                "title": "Bad",
                "url": "javascript:document.title='owned'",
                "type": "blog",
                "rank": 2,
            },
        ],
    }
    site.show(chromium_page, answer=orjson.dumps(answer).decode())
    expect(chromium_page.locator(WIDGET).get_by_role("link")).to_have_count(1)
    expect(chromium_page.locator(WIDGET).get_by_text(hostile)).to_be_visible()
    assert chromium_page.title() == "Blog"


def test_variables_of_the_page_theme_it(site: Site, chromium_page: Page) -> None:
    site.show(chromium_page)
    widget = chromium_page.locator(WIDGET)
    expect(widget.get_by_role("link", name="Title 1")).to_be_visible()
    before = widget.evaluate("e => getComputedStyle(e.shadowRoot.querySelector('li')).height")
    widget.evaluate("e => e.style.setProperty('--foreword-item-height', '50px')")
    after = widget.evaluate("e => getComputedStyle(e.shadowRoot.querySelector('li')).height")
    assert (before, after) == ("128px", "50px")


def test_it_asks_again_when_an_attribute_changes_and_stops_when_it_is_taken_away(
    site: Site, chromium_page: Page
) -> None:
    site.show(chromium_page)
    widget = chromium_page.locator(WIDGET)
    expect(widget.get_by_role("link", name="Title 1")).to_be_visible()
    widget.evaluate("e => e.setAttribute('placement', 'other')")
    expect(widget.get_by_role("link", name="Title 1")).to_be_visible()
    assert [asked["placement"] for asked in site.sent("/v1/recommendations")] == ["blog-sidebar", "other"]
    widget.evaluate("e => e.remove()")
    chromium_page.wait_for_timeout(1300)
    assert site.impressions() == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_preview_shows_every_theme(site: Site, chromium_page: Page, width: int, scheme: str) -> None:
    said: list[str] = []
    chromium_page.on("console", lambda m: said.append(m.text) if "favicon" not in str(m.location) else None)
    chromium_page.set_viewport_size({"width": width, "height": 6000})
    chromium_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    chromium_page.goto(f"{site.gateway_url}/widget/preview")
    expect(chromium_page.get_by_role("link", name=re.compile("eight weeks")).first).to_be_visible()
    heights = chromium_page.evaluate(f"[...document.querySelectorAll('{WIDGET}')].map(e => e.offsetHeight)")
    assert [height == 0 for height in heights] == [False] * 7 + [True]
    assert chromium_page.evaluate("document.documentElement.scrollWidth") == width
    assert said == []
    policy = site.gateway.client.get("/widget/preview").headers["Content-Security-Policy"]
    assert "unsafe" not in policy


def test_without_consent_nobody_is_named(site: Site, chromium_page: Page) -> None:
    site.show(chromium_page, anonymous_id="a-1", consent="contextual")
    expect(chromium_page.locator(WIDGET).get_by_role("link", name="Title 1")).to_be_visible()
    asked = site.sent("/v1/recommendations")[0]
    assert asked.get("anonymous_id") is None
    chromium_page.wait_for_timeout(1700)
    assert {event["anonymousId"][:2] for event in site.impressions()} == {"w-"}
