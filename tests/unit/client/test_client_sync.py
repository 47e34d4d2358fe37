"""`foreword sync`: feeds and sitemaps read, servers treated politely, and nothing fetched twice."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from foreword_client.client import Client
from foreword_client.syncing.listings import ListingUnreadable, read_listing
from foreword_client.syncing.polite_fetching import PageUnavailable, PoliteFetcher
from foreword_client.syncing.sync import SyncState, sync
from servicekit.outbound import OutboundClient, OutboundPolicy

SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <url><loc>{base}/a</loc><lastmod>{a}</lastmod></url>
  <url><loc>{base}/b?x=1&amp;y=2</loc></url>
  <url><loc>{base}/private/c</loc></url>
</urlset>"""
RSS = b"""<rss version="2.0"><channel><title>News</title>
<item><title>One</title><link>https://www.example.com/1</link><description>First</description>
<pubDate>Mon, 01 Jun 2026 10:00:00 GMT</pubDate></item><item><title>No link</title></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><title>Two</title>
<link href="https://www.example.com/2"/><updated>2026-06-02T10:00:00Z</updated><summary>Second</summary></entry></feed>"""


class Site:
    """A website with a sitemap, pages that answer conditional requests, and a Foreword that takes uploads."""

    def __init__(self) -> None:
        self.base = ""
        self.changed = "2026-01-01"
        self.robots = "User-agent: *\nDisallow: /private/\nCrawl-delay: 2\n"
        self.seen: list[tuple[str, str | None]] = []
        self.uploads: list[dict[str, Any]] = []
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.sitemap = SITEMAP
        self.app = Flask("site", static_folder=None)
        self.app.add_url_rule("/v1/assets:upload", "upload", self.upload, methods=["POST"])
        self.app.add_url_rule("/v1/assets/<path:asset_id>", "patch", self.patch, methods=["PATCH"])
        self.app.add_url_rule("/<path:path>", "page", self.page)

    def page(self, path: str) -> Response:
        self.seen.append((path, request.headers.get("If-None-Match")))
        if path == "robots.txt":
            return Response(self.robots, status=200 if self.robots else 503)
        if path == "sitemap.xml":
            return Response(self.sitemap.format(base=self.base, a=self.changed), mimetype="application/xml")
        if path == "moved":
            return Response(status=301, headers={"Location": "http://169.254.169.254/secrets"})
        if request.headers.get("If-None-Match") == '"1"':
            return Response(status=304)
        return Response(f"<h1>{path}</h1>", mimetype="text/html", headers={"ETag": '"1"'})

    def patch(self, asset_id: str) -> Response:
        self.patches.append((asset_id, orjson.loads(request.data)))
        return Response(b"{}", mimetype="application/json")

    def upload(self) -> Response:
        fields = orjson.loads(request.form["fields"])
        self.uploads.append(next(iter(fields.values())))
        return Response(orjson.dumps({"results": [{"result": "stored"}]}), mimetype="application/json")


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    server = make_server("127.0.0.1", 0, made.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.base = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


class Waits(list[float]):
    """A clock that only sleeping moves on."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.append(seconds)
        self.now += seconds


def fetcher(waits: Waits, *, allow_private: bool = True) -> PoliteFetcher:
    outbound = OutboundClient(
        OutboundPolicy(allow_private=allow_private), timeout_seconds=5, max_bytes=100_000
    )
    return PoliteFetcher(outbound, clock=lambda: waits.now, sleep=waits.sleep)


def run(site: Site, path: Path, waits: Waits | None = None, most: int = 100, **options: bool) -> Any:
    client = Client(site.base, "fw_sk_test", tries=1)
    given = fetcher(waits if waits is not None else Waits())
    address = f"{site.base}/sitemap.xml"
    return sync(client, given, SyncState(path), address, {"status": "draft"}, most=most, **options)


def test_a_sitemap_becomes_assets_and_robots_are_heeded(site: Site, tmp_path: Path) -> None:
    waits = Waits()
    report = run(site, tmp_path / "sync.json", waits)
    assert report.results == {"stored": 2, "failed": 1}
    assert report.problems == [f"{site.base}/private/c: robots.txt forbids it"]
    host = site.base.removeprefix("http://")
    assert [(u["id"], u["url"], u["status"]) for u in site.uploads] == [
        (f"{host}/a", f"{site.base}/a", "draft"),
        (f"{host}/b", f"{site.base}/b?x=1&y=2", "draft"),
    ]
    assert "private/c" not in [path for path, _ in site.seen]
    # The pause is the one that robots.txt asks for, but for the first request after it.
    assert waits[1:] == [2.0, 2.0]


def test_a_second_run_asks_only_for_what_may_have_changed(site: Site, tmp_path: Path) -> None:
    run(site, tmp_path / "sync.json")
    site.seen.clear()
    site.uploads.clear()
    report = run(site, tmp_path / "sync.json")
    assert site.uploads == []
    assert ("a", None) not in site.seen  # its date in the sitemap is the same
    assert ("b", '"1"') in site.seen  # it has none, so the server is asked, conditionally
    assert report.results["unchanged"] == 2
    site.changed = "2026-02-02"
    run(site, tmp_path / "sync.json")
    assert ("a", '"1"') in site.seen


def test_what_the_sitemap_names_no_more_is_archived_if_that_is_wanted(site: Site, tmp_path: Path) -> None:
    site.robots = "User-agent: *\nAllow: /\n"
    state, host = tmp_path / "sync.json", site.base.removeprefix("http://")
    run(site, state)
    site.sitemap = SITEMAP.replace("<url><loc>{base}/private/c</loc></url>", "")
    assert site.sitemap != SITEMAP
    assert "archived" not in run(site, state).results
    assert run(site, state, archive_vanished=True).results["archived"] == 1
    assert site.patches == [(f"{host}/private/c", {"status": "archived"})]
    assert "archived" not in run(site, state, archive_vanished=True).results
    site.sitemap = "<urlset></urlset>"
    emptied = run(site, state, archive_vanished=True)
    assert "2 of 2 pages are listed no more" in emptied.problems[0]
    assert len(site.patches) == 1


def test_a_run_has_a_bound_and_the_next_goes_on(site: Site, tmp_path: Path) -> None:
    site.robots = "User-agent: *\nAllow: /\n"
    first = run(site, tmp_path / "sync.json", most=1)
    assert first.results == {"stored": 1, "left for the next run": 2}
    assert run(site, tmp_path / "sync.json").results == {"unchanged": 1, "stored": 2}


def test_a_site_whose_robots_fail_is_left_alone(site: Site, tmp_path: Path) -> None:
    site.robots = ""
    with pytest.raises(PageUnavailable, match="robots"):
        run(site, tmp_path / "sync.json")
    assert [path for path, _ in site.seen] == ["robots.txt"]


def test_a_redirect_into_a_private_network_is_not_followed(site: Site) -> None:
    """The first address may be called, the one it leads to may not: each hop is judged."""
    policy = OutboundPolicy(allow_private=False)

    def resolve(host: str, port: int) -> list[str]:
        return ["93.184.215.14"]

    def connect(address: tuple[str, int], timeout: float) -> Any:
        assert address[0] == "93.184.215.14"
        return socket.create_connection(("127.0.0.1", int(site.base.rpartition(":")[2])), timeout)

    outbound = OutboundClient(policy, timeout_seconds=5, max_bytes=9999, resolve=resolve, connect=connect)
    polite = PoliteFetcher(outbound, pause_seconds=0.0)
    with pytest.raises(PageUnavailable, match="private network"):
        polite.fetch("http://public.example/moved", {}, 9999)


@pytest.mark.parametrize("body", [RSS, ATOM, gzip.compress(ATOM)])
def test_feeds_are_read(body: bytes) -> None:
    (page,) = read_listing(body).pages
    assert page.url in ("https://www.example.com/1", "https://www.example.com/2")
    assert page.title in ("One", "Two")
    assert page.summary in ("First", "Second")
    assert page.changed


def test_an_index_of_sitemaps_names_further_ones() -> None:
    index = b"<sitemapindex><sitemap><loc>https://www.example.com/1.xml.gz</loc></sitemap></sitemapindex>"
    assert read_listing(index).further == ("https://www.example.com/1.xml.gz",)


BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">
<!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;"><!ENTITY g "&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;">]>
<urlset><url><loc>https://www.example.com/&g;</loc></url></urlset>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><p>no feed</html>",
        b"<urlset><url>",
        b"\x1f\x8bnonsense",
        BOMB,
    ],
)
def test_what_is_no_listing_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ListingUnreadable):
        read_listing(body)


def test_a_packed_listing_that_inflates_without_end_is_said_to_be_none() -> None:
    with pytest.raises(ListingUnreadable):
        read_listing(gzip.compress(bytes(60_000_000), 1))
