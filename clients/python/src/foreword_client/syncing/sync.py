"""One run of `foreword sync`: a listing read, its new and changed pages fetched, and kept as assets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from foreword_client.client import Client, RequestRefused
from foreword_client.kept_object import read_object, write_object
from foreword_client.syncing.listings import MAX_BYTES, ListedPage, ListingUnreadable, read_listing
from foreword_client.syncing.polite_fetching import Fetched, PageUnavailable, PoliteFetcher

_PAGE_BYTES = 5 * 1024 * 1024
_MOST_LISTINGS = 50
_LONGEST_ID = 200


@dataclass(slots=True)
class _Walk:
    """What one run read: each listing with its conditions, each page, and whether that was all there is."""

    listings: dict[str, Mapping[str, str]] = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    is_complete: bool = True


@dataclass(slots=True)
class SyncReport:
    """How many pages became what, and what stood in the way."""

    results: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class SyncState:
    """What was seen of each address, kept on disk so that the next run asks only for what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, dict[str, Any]] = read_object(path)

    def of(self, url: str) -> dict[str, Any]:
        return self._seen.get(url, {})

    def keep(
        self, url: str, conditions: Mapping[str, str], changed: str | None, listed_by: str | None = None
    ) -> None:
        """`listed_by` is the address that a run began with; None for a listing itself."""
        self._seen[url] = {"conditions": dict(conditions), "changed": changed, "listed_by": listed_by}

    def listed_by(self, address: str) -> list[str]:
        """The pages that earlier runs of this address brought."""
        return [url for url, seen in self._seen.items() if seen.get("listed_by") == address]

    def drop(self, url: str) -> None:
        self._seen.pop(url, None)

    def save(self) -> None:
        write_object(self._path, self._seen)


def sync(
    client: Client,
    fetcher: PoliteFetcher,
    state: SyncState,
    address: str,
    fields: Mapping[str, Any],
    *,
    most: int,
    archive_vanished: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> SyncReport:
    """Bring the pages that `address` lists into the catalogue; `fields` go with each (status, type, …).

    A page that fails is reported and the others go on. A listing that cannot be read raises `PageUnavailable`
    or `ListingUnreadable`, and nothing is changed. With `archive_vanished`, pages that earlier runs brought
    and the sitemap names no more are archived, unless more than half of them are gone.
    """
    report = SyncReport()
    pending = []
    walk = _Walk()
    for page in _pages(fetcher, state, address, report, walk):
        walk.pages.add(page.url)
        seen = state.of(page.url)
        if page.changed is not None and seen.get("changed") == page.changed:
            report.results["unchanged"] += 1
        else:
            pending.append((page, seen))
    for page, seen in pending[:most]:
        try:
            outcome = _bring(client, fetcher, state, page, seen, fields, address)
        except (PageUnavailable, RequestRefused) as error:
            outcome = "failed"
            report.problems.append(f"{page.url}: {error}")
        report.results[outcome] += 1
        told(page.url)
        state.save()
    if archive_vanished and walk.is_complete:
        _archive_vanished(client, state, address, walk.pages, report)
    if len(pending) > most:
        report.results["left for the next run"] += len(pending) - most
    elif not report.problems:
        for place, conditions in walk.listings.items():  # else the next run must see the listing again
            state.keep(place, conditions, None)
    state.save()
    return report


def _pages(
    fetcher: PoliteFetcher,
    state: SyncState,
    address: str,
    report: SyncReport,
    walk: _Walk,
) -> Iterator[ListedPage]:
    """Every page of the listing and, where it is an index, of the listings it names on the same host."""
    waiting, read = [address], 0
    host = urlsplit(address).netloc
    while waiting and read < _MOST_LISTINGS:
        place = waiting.pop(0)
        read += 1
        fetched = fetcher.fetch(place, state.of(place).get("conditions", {}), MAX_BYTES)
        if fetched.body is None:
            report.results["listing unchanged"] += 1
            walk.is_complete = False  # what it names is not said again
            continue
        listing = read_listing(fetched.body)
        walk.listings[place] = fetched.conditions
        walk.is_complete = walk.is_complete and listing.is_complete
        waiting += [further for further in listing.further if urlsplit(further).netloc == host]
        yield from listing.pages
    walk.is_complete = walk.is_complete and not waiting


def _archive_vanished(
    client: Client, state: SyncState, address: str, listed: set[str], report: SyncReport
) -> None:
    known = state.listed_by(address)
    gone = [url for url in known if url not in listed]
    if 2 * len(gone) > len(known):
        told = f"{len(gone)} of {len(known)} pages are listed no more"
        report.problems.append(f"{address}: {told}; none was archived, in case this is a mistake")
        return
    for url in gone:
        try:
            client.patch_asset(asset_id_of(url), status="archived")
        except RequestRefused as error:
            if error.status != 404:
                report.problems.append(f"{url}: {error}")
                continue
        else:
            report.results["archived"] += 1
        state.drop(url)


def _bring(
    client: Client,
    fetcher: PoliteFetcher,
    state: SyncState,
    page: ListedPage,
    seen: Mapping[str, Any],
    fields: Mapping[str, Any],
    address: str,
) -> str:
    fetched: Fetched = fetcher.fetch(page.url, seen.get("conditions", {}), _PAGE_BYTES)
    if fetched.body is None:
        state.keep(page.url, fetched.conditions, page.changed, address)
        return "unchanged"
    name = "page.pdf" if "pdf" in fetched.content_type.lower() else "page.html"
    stated = {"id": asset_id_of(page.url), "url": page.url, **fields}
    if page.title:
        stated["title"] = page.title
    answer = client.upload([(name, fetched.body)], fields={name: stated})
    result = answer[0] if answer else {"result": "failed", "detail": "no answer"}
    if result.get("result") == "failed":
        raise PageUnavailable(str(result.get("detail")))
    state.keep(page.url, fetched.conditions, page.changed, address)
    return str(result.get("result"))


def asset_id_of(url: str) -> str:
    """The address without scheme, query and closing slash: what a person would call the page."""
    parts = urlsplit(url)
    return (parts.netloc + parts.path.rstrip("/"))[:_LONGEST_ID]


__all__ = ["ListingUnreadable", "PageUnavailable", "SyncReport", "SyncState", "asset_id_of", "sync"]
