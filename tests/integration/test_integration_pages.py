"""The pages of docs/integrate: every snippet is executed as it stands, against the real gateway.

Only the address, the keys and the secrets are put in. Each page's test says what must have arrived.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask, Response, send_from_directory
from playwright.sync_api import Page, expect

from e2e.browser import chromium, chromium_page
from e2e.tracking_clients import node_clients, python_clients
from gateway.keys.tokens import user_token
from unit.gateway.gateway_fixtures import PROJECT_SECRET, Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn, running_stand_in, serve

__all__ = ["chromium", "chromium_page", "node_clients", "python_clients"]

pytestmark = pytest.mark.slow
PAGES = Path(__file__).parents[2] / "docs" / "integrate"
HUBSPOT_SECRET = "a secret that HubSpot and the gateway share"


class Firm:
    """A gateway with its recommender, and the keys that a reader of the pages would have."""

    def __init__(self, recommender: StandIn, gateway: Gateway, url: str) -> None:
        self.recommender = recommender
        self.gateway = gateway
        self.url = url

    def blocks(self, page: str) -> list[tuple[str, str]]:
        """(language, code) in the page's order, with this firm's address and keys in it."""
        text = (PAGES / f"{page}.md").read_text()
        for placeholder, value in (
            ("https://content.example.com", self.url),
            ("fw_sk_…", self.gateway.secret),
            ("fw_pk_…", self.gateway.publishable),
            ("the FOREWORD_PROJECT_SECRET of your gateway", PROJECT_SECRET.decode()),
            ("the client secret of your HubSpot app", HUBSPOT_SECRET),
        ):
            text = text.replace(placeholder, value)
        return re.findall(r"```(\w+)\n(.*?)```", text, re.S)

    def of(self, page: str, language: str) -> list[str]:
        return [code for found, code in self.blocks(page) if found == language]

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for seen in self.recommender.seen:
            if seen["path"] == "/v1/signals":
                body = orjson.loads(seen["body"])
                found += body.get("batch", [body])
        return found

    def names(self) -> list[str]:
        return [event.get("event") or event["type"] for event in self.events()]


@pytest.fixture(scope="module")
def running() -> Iterator[Firm]:
    with running_stand_in() as recommender:
        gateway = make_gateway(recommender, hubspot_client_secret=HUBSPOT_SECRET)
        with serve(gateway.app) as url:
            yield Firm(recommender, gateway, url)


@pytest.fixture
def firm(running: Firm) -> Firm:
    running.recommender.reset()
    running.gateway.reset()
    return running


def run(command: list[str], folder: Path, code: str = "") -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        input=code,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shell(code: str, folder: Path) -> str:
    return run(["sh", "-eu"], folder, code)


def shown(page: Page, html: str) -> None:
    """A page of the firm's, on an origin of its own, with the snippet in it."""
    site = Flask("site", static_folder=None)
    site.add_url_rule("/", view_func=lambda: Response(f"<!doctype html>{html}", mimetype="text/html"))
    with serve(site) as url:
        page.goto(url)
        expect(page.get_by_role("link", name=re.compile("Title 1"))).to_be_visible()


def test_website(firm: Firm, chromium_page: Page, tmp_path: Path) -> None:
    widget, style = firm.of("website", "html")
    shown(chromium_page, style + widget)
    heading = chromium_page.get_by_role("heading", name="Worth your time")
    assert heading.count() == 1
    accent = chromium_page.locator("foreword-recommendations").evaluate(
        "e => getComputedStyle(e.shadowRoot.querySelector('.k')).color"
    )
    assert accent == "rgb(138, 63, 252)"
    (token,) = firm.of("website", "python")
    printed = run([sys.executable, "-"], tmp_path, token).strip()
    assert printed == user_token(PROJECT_SECRET, "u-1")
    recommend, viewed = firm.of("website", "sh")
    assert len(orjson.loads(shell(recommend, tmp_path))["items"]) == 3
    assert shell(viewed, tmp_path) == '{"success": true}'
    assert firm.names()[-1] == "Recommendation Viewed"
    assert len(firm.blocks("website")) == 5


def test_newsletter(firm: Firm, tmp_path: Path) -> None:
    table, html, text = firm.of("newsletter", "sh")
    shell(table, tmp_path)
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("email,user_id,account_id,fw_1_title,fw_1_url")
    assert shell(html, tmp_path).startswith("<table")
    assert "#8a3ffc" in shell(html, tmp_path)
    assert "Title 1" in shell(text, tmp_path)
    (code,) = firm.of("newsletter", "python")
    assert "/e/" in run([sys.executable, "-"], tmp_path, code)
    assert len(firm.blocks("newsletter")) == 4


def test_segment(
    firm: Firm, chromium_page: Page, tmp_path: Path, node_clients: Path, python_clients: Path
) -> None:
    site = Flask("site", static_folder=None)
    (html,) = firm.of("segment", "html")
    site.add_url_rule("/", view_func=lambda: Response(f"<!doctype html>{html}", mimetype="text/html"))
    umd = node_clients / "@segment" / "analytics-next" / "dist" / "umd"
    site.add_url_rule("/analytics-next/<path:name>", "library", lambda name: send_from_directory(umd, name))
    with serve(site) as url:
        chromium_page.goto(url)
        for _ in range(100):
            if len(firm.names()) >= 2:
                break
            chromium_page.wait_for_timeout(100)
    assert sorted(firm.names()) == ["Asset Downloaded", "page"]
    install, imported, validated = firm.of("segment", "sh")
    assert "segment-analytics-python" in install  # installed already, with everything the tests use
    (python,) = firm.of("segment", "python")
    run([str(python_clients), "-"], tmp_path, python)
    (node,) = firm.of("segment", "js")
    run([str(Path(sys.executable).with_name("node")), "-"], node_clients.parent, node)
    assert shell(imported, tmp_path) == '{"success": true}'
    assert sorted(firm.names()[2:]) == [
        "Demo Requested",
        "Pricing Viewed",
        "Webinar Attended",
        "group",
        "identify",
    ]
    assert shell(validated, tmp_path)
    assert len(firm.blocks("segment")) == 6


def test_rudderstack(
    firm: Firm, chromium_page: Page, tmp_path: Path, node_clients: Path, python_clients: Path
) -> None:
    install, tracked = firm.of("rudderstack", "sh")
    assert "rudder-sdk-python" in install
    (python,) = firm.of("rudderstack", "python")
    run([str(python_clients), "-"], tmp_path, python)
    (node,) = firm.of("rudderstack", "js")
    run([str(Path(sys.executable).with_name("node")), "-"], node_clients.parent, node)
    assert shell(tracked, tmp_path) == '{"success": true}'
    assert sorted(firm.names()) == ["Demo Requested", "Pricing Viewed", "Webinar Attended", "identify"]
    (html,) = firm.of("rudderstack", "html")
    shown(chromium_page, "<script>rudderanalytics={getAnonymousId:()=>'rudder-7'}</script>" + html)
    asked = [orjson.loads(s["body"]) for s in firm.recommender.seen if s["path"] == "/v1/recommendations"]
    assert asked[-1]["anonymous_id"] == "rudder-7"
    assert len(firm.blocks("rudderstack")) == 5


def test_hubspot(firm: Firm, tmp_path: Path) -> None:
    notice, verify = firm.of("hubspot", "python")
    assert run([sys.executable, "-"], tmp_path, notice).strip() in ("200", "204")
    (event,) = firm.events()
    assert (event["type"], event["userId"]) == ("identify", "hubspot-contact-7")
    assert event["traits"] == {"jobtitle": "Head of operations"}
    assert run([sys.executable, "-"], tmp_path, verify).strip() == "decision"
    stored, delivered, mailing = firm.of("hubspot", "sh")
    assert orjson.loads(shell(stored, tmp_path))["id"] == "hubspot"
    assert orjson.loads(shell(delivered, tmp_path))["deliveries"] == []
    shell(mailing, tmp_path)
    assert "fw_1_url" in (tmp_path / "with-recommendations.csv").read_text()
    assert len(firm.blocks("hubspot")) == 5


def test_every_page_has_its_test() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {
        name.removeprefix("test_") for name in globals() if name.startswith("test_") and "every" not in name
    }
