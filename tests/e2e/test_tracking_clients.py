"""Segment's and RudderStack's own clients, unchanged: what arrived is what they sent, merged and typed."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sized
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask, Response, send_from_directory
from playwright.sync_api import Page

from e2e.foreword_process import Api
from e2e.tracking_clients import (
    CLIENTS,
    Recorder,
    node_clients,
    python_clients,
    recording,
    send_with,
)
from foreword_dev.stack import Stack
from unit.gateway.gateway_stand_in import serve

__all__ = ["node_clients", "python_clients"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

PROPERTIES = {
    "größe": "Zürich 🚀",
    "price": 19.5,
    "count": 3,
    "whole": 1.0,
    "yes": True,
    "nothing": None,
    "nested": {"list": [1, "two", {"three": 3}]},
}


def story(name: str) -> list[dict[str, Any]]:
    """What such clients are typically made to send, about one buyer of one account."""
    user, anonymous = f"{name}-user", f"{name}-anonymous"
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    page = {"url": f"https://www.example.com/{name}/paper?utm_source=mail", "title": "A paper"}
    return [
        {"type": "page", "anonymousId": anonymous, "name": "Paper", "properties": page},
        {"type": "screen", "anonymousId": anonymous, "name": "Start", "properties": {"dark": True}},
        {
            "type": "track",
            "anonymousId": anonymous,
            "event": "Asset Downloaded",
            "properties": {"asset_id": f"{name}-paper", **PROPERTIES},
            "timestamp": two_days_ago,
        },
        {
            "type": "identify",
            "userId": user,
            "anonymousId": anonymous,
            "traits": {"title": "Head of Operations", "company": {"name": "Ünïcode GmbH"}},
        },
        {"type": "group", "userId": user, "groupId": f"{name}.example", "traits": {"industry": "logistics"}},
        {
            "type": "track",
            "userId": user,
            "event": "Pricing Viewed",
            "properties": PROPERTIES,
            "context": {"consent": {"categoryPreferences": {"analytics": True, "advertising": False}}},
        },
        {"type": "alias", "previousId": f"{name}-old", "userId": user},
        {"type": "track", "userId": user, "event": "Something Of Their Own", "properties": {"n": 2}},
    ]


def unique(client: str) -> str:
    return f"{client}-{uuid.uuid4().hex[:8]}"


KINDS = {"Asset Downloaded": "download", "Pricing Viewed": "pricing", "Something Of Their Own": "other"}
CALL_KINDS = {"page": "view", "screen": "page", "identify": "identify", "group": "group", "alias": "alias"}


def kind_of(event: dict[str, Any]) -> str:
    return KINDS[event["event"]] if event["type"] == "track" else CALL_KINDS[event["type"]]


SAID = ("type", "userId", "anonymousId", "previousId", "groupId", "event", "name", "properties", "traits")


def sent_fields(event: dict[str, Any]) -> dict[str, Any]:
    """What the caller said, of what the client made of it; RudderStack moves the traits of an identify."""
    moved = event.get("context", {}).get("traits") if event["type"] == "identify" else None
    told = {**event, "traits": event.get("traits") or moved}
    return {name: told[name] for name in SAID if told.get(name) not in (None, {})}


def in_any_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A client may send several batches at once."""
    return sorted((sent_fields(event) for event in events), key=lambda e: (e["type"], e.get("event", "")))


def check_arrived(
    api: Api, name: str, sent: list[dict[str, Any]], calls: Sized, anonymous: str | None = None
) -> None:
    """Read back what is kept of the buyer, by each of the ids that lead to them."""
    user, anonymous = f"{name}-user", anonymous or f"{name}-anonymous"
    exported = api.send("GET", f"/v1/buyers/{quote(user)}:export")
    assert exported.status == 200, exported.body
    found = exported.json()
    kept = {signal["event"]["messageId"]: signal for signal in found["signals"]}
    assert len(kept) == len(found["signals"]) == len(sent) == len(calls)
    for event in sent:
        signal = kept[event["messageId"]]
        assert signal["event"] == event  # as the client put it on the wire, to the last field
        assert signal["type"] == kind_of(event)
        about = f"{name}-paper" if kind_of(event) in ("view", "download") else None
        assert signal["asset_id"] == about
        happened = datetime.fromisoformat(event.get("originalTimestamp") or event["timestamp"])
        assert abs(datetime.fromisoformat(signal["at"]) - happened) < timedelta(seconds=5)
    buyer = found["buyer"]
    assert {(i["kind"], i["id"]) for i in buyer["ids"]} >= {("user", user), ("anonymous", anonymous)}
    assert buyer["account_id"] == f"{name}.example"
    assert buyer["traits"]["title"] == "Head of Operations"
    assert buyer["signal_count"] == len(calls)
    for other in (anonymous, f"{name}-old"):
        same = api.send("GET", f"/v1/buyers/{quote(other)}").json()
        assert same["signal_count"] == len(calls), f"{other} leads to somebody else"
    account = api.send("GET", f"/v1/accounts/{name}.example").json()
    assert account["traits"]["industry"] == "logistics"


PROGRAMS = {
    "segment-python": ("python", "tracking_client.py", "segment"),
    "rudder-python": ("python", "tracking_client.py", "rudder"),
    "segment-node": ("node", "segment_node.cjs"),
    "rudder-node": ("node", "rudder_node.cjs"),
}


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_servers_client_sends_its_usual_calls(
    client: str, api: Api, stack: Stack, python_clients: Path, node_clients: Path
) -> None:
    language, *program = PROGRAMS[client]
    name = unique(client)
    interpreter = python_clients if language == "python" else Path(sys.executable).with_name("node")
    assert api.put_asset(f"{name}-paper", url=f"https://www.example.com/{name}/paper").status == 201
    calls = story(name)
    with recording(stack.url) as recorder:
        send_with([str(interpreter), *program], calls, recorder.url, stack.keys["secret"])
        sent = recorder.wait_for_events(len(calls))
    check_answers(recorder)
    assert in_any_order(sent) == in_any_order(calls)
    check_arrived(api, name, sent, calls)


def check_answers(recorder: Recorder) -> None:
    assert {(told.status, told.answer) for told in recorder.tracked()} == {(200, b'{"success": true}')}


@pytest.fixture(scope="module")
def page_url(node_clients: Path) -> Iterator[str]:
    """A firm's page with Segment's browser library on it, on an origin of its own."""
    app = Flask("page", static_folder=None)

    @app.get("/analytics-next/<path:name>")
    def library(name: str) -> Response:
        return send_from_directory(node_clients / "@segment" / "analytics-next" / "dist" / "umd", name)

    @app.get("/a-page")
    def page() -> Response:
        return send_from_directory(CLIENTS, "browser.html")

    with serve(app) as url:
        yield f"{url}/a-page"


# One call after the other, as a person clicks; the library numbers and dates them itself.
CALL = """async ([kind, ...given]) => { await window.analytics[kind](...given); }"""


@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_the_browser_library_sends_its_usual_calls(
    strategy: str, api: Api, stack: Stack, chromium_page: Page, page_url: str
) -> None:
    name = unique("browser")
    user = f"{name}-user"
    assert api.put_asset(f"{name}-paper", url=f"https://www.example.com/{name}/paper").status == 201
    calls: list[list[Any]] = [
        ["page", "Paper", {"url": f"https://www.example.com/{name}/paper?utm_source=mail"}],
        ["screen", "Start", {"dark": True}],
        ["track", "Asset Downloaded", {"asset_id": f"{name}-paper", **PROPERTIES}],
        ["identify", user, {"title": "Head of Operations"}],
        ["group", f"{name}.example", {"industry": "logistics"}],
        ["track", "Pricing Viewed", PROPERTIES],
        ["alias", user, f"{name}-old"],
        ["track", "Something Of Their Own", {"n": 2}],
    ]
    complaints: list[str] = []
    chromium_page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    chromium_page.on("pageerror", lambda error: complaints.append(str(error)))
    with recording(stack.url) as recorder:
        query = urlencode({"key": stack.keys["publishable"], "host": recorder.url, "strategy": strategy})
        chromium_page.goto(f"{page_url}?{query}")
        for call in calls:
            chromium_page.evaluate(CALL, call)
        sent = recorder.wait_for_events(len(calls))
        anonymous = chromium_page.evaluate("async () => (await window.analytics.user()).anonymousId()")
    assert complaints == []
    check_answers(recorder)
    assert {told.path for told in recorder.tracked()} == (
        {"/v1/b"} if strategy == "batching" else {"/v1/p", "/v1/s", "/v1/t", "/v1/i", "/v1/g", "/v1/a"}
    )
    assert sorted(event["type"] for event in sent) == sorted(call[0] for call in calls)
    check_arrived(api, name, sent, calls, anonymous=anonymous)
    downloaded = next(event for event in sent if event.get("event") == "Asset Downloaded")
    assert downloaded["properties"] == {"asset_id": f"{name}-paper", **PROPERTIES}


def test_a_browser_that_may_not_is_told_so_and_nothing_is_kept(
    api: Api, stack: Stack, chromium_page: Page, page_url: str
) -> None:
    """Without its settings the library does nothing; a page with a wrong key goes on working."""
    with recording(stack.url) as recorder:
        query = urlencode({"key": "fw_pk_nobody-has-this-key", "host": recorder.url, "strategy": "standard"})
        chromium_page.goto(f"{page_url}?{query}")
        chromium_page.wait_for_timeout(500)
        assert recorder.told, "the library asked for its settings"
        assert {told.status for told in recorder.told} == {404}


def test_the_clients_are_the_published_ones(node_clients: Path, python_clients: Path) -> None:
    """Whatever a test needs changed in a client would have to be changed by every customer too."""
    assert sorted(path.name for path in CLIENTS.glob("*.patch")) == []
    assert (node_clients / "@segment" / "analytics-next" / "dist" / "umd" / "index.js").exists()
