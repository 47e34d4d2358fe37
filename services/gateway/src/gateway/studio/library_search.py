"""What the library's filters find: a page to look at, or the ids of all of it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk
from gateway.studio.display import STATUSES
from gateway.studio.library_filters import MOST_TAGS, Tags, filter_of

_MOST_A_PAGE = 100


class LibrarySearch:
    """By words, as the address asks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def filter_of(self, asked: Mapping[str, str]) -> Document | None:
        tags: Tags = self._desk.catalogue.tags(MOST_TAGS) if asked["tag"] else {}
        return filter_of(asked, self._desk.clock(), tags)

    def page(self, asked: Mapping[str, str], size: int, token: str = "") -> Document:
        """→ `assets`, `total` and `next_page_token`."""
        return self._page(self.filter_of(asked), asked, size, token)

    def ids(self, asked: Mapping[str, str], most: int) -> tuple[list[str], int]:
        """→ (the ids of what is found, at most so many; how many there are)."""
        tree, found, token, total = self.filter_of(asked), dict[str, None](), "", 0
        while len(found) < most:
            page = self._page(tree, asked, _MOST_A_PAGE, token)
            found.update(dict.fromkeys(asset["id"] for asset in page["assets"]))
            token, total = page["next_page_token"], page["total"]
            if not token:
                break
        return list(found)[:most], total

    def _page(self, tree: Document | None, asked: Mapping[str, str], size: int, token: str) -> Document:
        query: dict[str, str | int] = {"page_size": size}
        if asked["q"]:
            query["q"] = asked["q"]
        if asked["status"] in STATUSES:
            query["status"] = asked["status"]
        if token:
            query["page_token"] = token
        return self._desk.catalogue.library(tree, **query)
