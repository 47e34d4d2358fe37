"""Pages and feeds on the web: fetched from public addresses alone, every redirect judged anew."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

import feedparser

from servicekit.errors import Unprocessable
from servicekit.outbound import (
    OutboundAnswer,
    OutboundClient,
    OutboundFailed,
    OutboundPolicy,
    OutboundRefused,
)

_SECONDS = 15.0
_MOST_BYTES = 20 * 1024 * 1024
_MOST_REDIRECTS = 4
_MOST_ENTRIES = 50
_REDIRECTS = (301, 302, 303, 307, 308)
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/rdf+xml")
_ENDINGS = {"application/pdf": ".pdf", "text/markdown": ".md", "text/plain": ".txt"}


@dataclass(frozen=True, slots=True)
class WebFile:
    """What was found at an address, with a name that says what it is; `url` is where it was found at last."""

    url: str
    name: str
    media_type: str
    data: bytes


class WebSources:
    """Raises `Unprocessable`, in words for whoever pasted the address."""

    def __init__(self, policy: OutboundPolicy | None = None) -> None:
        self._client = OutboundClient(
            policy or OutboundPolicy(),
            timeout_seconds=_SECONDS,
            max_bytes=_MOST_BYTES,
            user_agent="Foreword studio",
        )

    def fetch(self, url: str) -> WebFile | tuple[str, ...]:
        """→ the page or file, or, when it is a feed, the addresses of its entries, newest first."""
        found, answer = self._follow(url.strip())
        media_type = answer.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
        if _is_feed(media_type, answer.body):
            return _entries(found, answer.body)
        return WebFile(found, _name(found, media_type), media_type, answer.body)

    def _follow(self, url: str) -> tuple[str, OutboundAnswer]:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                answer = self._client.request("GET", url, headers={"Accept": "text/html, */*;q=0.8"})
            except (OutboundRefused, OutboundFailed) as error:
                raise Unprocessable(str(error), code="address_not_read") from error
            if answer.status in _REDIRECTS and answer.headers.get("location"):
                url = urljoin(url, answer.headers["location"])
                continue
            if answer.status != 200:
                raise Unprocessable(f"The address answered {answer.status}.", code="address_not_read")
            return url, answer
        raise Unprocessable("The address leads in a circle.", code="address_not_read")


def _is_feed(media_type: str, body: bytes) -> bool:
    if media_type in _FEED_TYPES:
        return True
    head = body[:1000].lower()
    return "xml" in media_type and any(mark in head for mark in (b"<rss", b"<feed", b"<rdf:rdf"))


def _entries(url: str, body: bytes) -> tuple[str, ...]:
    links = [urljoin(url, str(entry.get("link", ""))) for entry in feedparser.parse(body).entries]
    found = tuple(dict.fromkeys(link for link in links if link.startswith(("http://", "https://"))))
    if not found:
        raise Unprocessable("This feed names no pages.", code="feed_empty")
    return found[:_MOST_ENTRIES]


def _name(url: str, media_type: str) -> str:
    """The last part of the path; what it ends with says how it is to be read."""
    parts = urlsplit(url)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc
    ending = _ENDINGS.get(media_type, ".html" if "html" in media_type else "")
    return last[:150] if not ending or last.lower().endswith(ending) else f"{last[:140]}{ending}"
