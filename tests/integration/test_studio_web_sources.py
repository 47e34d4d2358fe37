"""Pages and feeds that somebody pasted into the studio, from a real server of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, Response, redirect

from gateway.studio.web_sources import WebFile, WebSources
from servicekit.errors import Unprocessable
from servicekit.outbound import OutboundPolicy
from unit.gateway.gateway_stand_in import serve

_FEED = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>
<item><link>/one</link></item><item><link>https://www.example.com/two</link></item><item><link>/one</link></item>
<item><link>javascript:alert(1)</link></item></channel></rss>"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    app = Flask("site", static_folder=None)
    app.add_url_rule("/guide", "guide", lambda: "<html><title>Guide</title><p>Text</p></html>")
    app.add_url_rule("/paper", "paper", lambda: Response(b"%PDF-1.7", mimetype="application/pdf"))
    app.add_url_rule("/feed", "feed", lambda: Response(_FEED, mimetype="application/xml"))
    app.add_url_rule("/moved", "moved", lambda: redirect("/guide"))
    app.add_url_rule("/circle", "circle", lambda: redirect("/circle"))
    app.add_url_rule("/inside", "inside", lambda: redirect("http://169.254.169.254/latest"))
    with serve(app) as url:
        yield url


@pytest.fixture
def here() -> WebSources:
    return WebSources(OutboundPolicy(allow_private=True))


def test_a_page_a_paper_and_a_redirect_are_read(site: str, here: WebSources) -> None:
    page = here.fetch(f"{site}/guide")
    assert isinstance(page, WebFile)
    assert (page.name, page.media_type) == ("guide.html", "text/html")
    paper = here.fetch(f"{site}/paper")
    assert isinstance(paper, WebFile)
    assert paper.name == "paper.pdf"
    moved = here.fetch(f"{site}/moved")
    assert isinstance(moved, WebFile)
    assert moved.url == f"{site}/guide"


def test_a_feed_gives_the_addresses_of_its_pages(site: str, here: WebSources) -> None:
    assert here.fetch(f"{site}/feed") == (f"{site}/one", "https://www.example.com/two")


@pytest.mark.parametrize("path", ["/nothing", "/circle"])
def test_what_cannot_be_read_is_told_in_words(site: str, here: WebSources, path: str) -> None:
    with pytest.raises(Unprocessable, match=r"answered 404|circle"):
        here.fetch(site + path)


def test_nothing_inside_the_network_is_called(site: str) -> None:
    outside = WebSources()
    for url in (
        f"{site}/guide",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "file:///etc/passwd",
        "nonsense",
    ):
        with pytest.raises(Unprocessable):
            outside.fetch(url)
