"""Feeds (RSS, Atom) and sitemaps: the pages they name, and since when each is as it is."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import feedparser

MAX_BYTES = 50 * 1024 * 1024  # what a sitemap may have at most, by its own rules
_GZIP = 16 + zlib.MAX_WBITS


class ListingUnreadable(Exception):
    """The address gave neither a feed nor a sitemap; the sentence says what was wrong."""


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page by its address; `changed` is whatever the listing says of its last change."""

    url: str
    changed: str | None = None
    title: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Pages, and further listings where this is an index of sitemaps."""

    pages: tuple[ListedPage, ...] = ()
    further: tuple[str, ...] = ()
    is_complete: bool = True  # a sitemap names all there is; a feed names only the newest


def read_listing(body: bytes) -> Listing:
    """Raises `ListingUnreadable`."""
    data = _inflated(body) if body[:2] == b"\x1f\x8b" else body
    kind = _root_name(data)
    if kind in ("urlset", "sitemapindex"):
        return _sitemap(data, kind)
    feed = feedparser.parse(data)
    if not feed.entries and not feed.get("version"):
        raise ListingUnreadable("it is neither a feed (RSS, Atom) nor a sitemap")
    return Listing(tuple(_entry(entry) for entry in feed.entries if entry.get("link")), is_complete=False)


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    try:
        data = inflater.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise ListingUnreadable("its gzip is damaged") from error
    if inflater.unconsumed_tail:
        raise ListingUnreadable("it unpacks to more than 50 MB")
    return data


def _root_name(data: bytes) -> str:
    """The name of the first element; empty for what is not XML (old feeds are not always)."""
    try:
        # Expat bounds how far entities may expand, and fetches none from outside.
        for _, element in ElementTree.iterparse(io.BytesIO(data), events=("start",)):  # noqa: S314
            return _local(str(element.tag))
    except ElementTree.ParseError:
        return ""
    return ""


def _sitemap(data: bytes, kind: str) -> Listing:
    try:
        root = ElementTree.fromstring(data)  # noqa: S314
    except ElementTree.ParseError as error:
        raise ListingUnreadable(f"the sitemap is not well-formed: {error}") from error
    found = [{_local(field.tag): (field.text or "").strip() for field in entry} for entry in root]
    places = [entry for entry in found if entry.get("loc")]
    if kind == "sitemapindex":
        return Listing(further=tuple(entry["loc"] for entry in places))
    return Listing(tuple(ListedPage(entry["loc"], entry.get("lastmod") or None) for entry in places))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def _entry(entry: feedparser.FeedParserDict) -> ListedPage:
    # Asked as a plain dict: feedparser's own `get` takes one of the two for the other and warns.
    stated = [dict.get(entry, name) for name in ("updated", "published")]
    changed: Sequence[str] = [str(text) for text in stated if text]
    return ListedPage(
        str(entry["link"]),
        changed[0] if changed else None,
        str(entry["title"]) if entry.get("title") else None,
        str(entry["summary"]) if entry.get("summary") else None,
    )
