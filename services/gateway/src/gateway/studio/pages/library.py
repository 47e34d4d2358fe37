"""The library: every asset, found by words or by meaning, and filtered."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from gateway.studio.desk import Desk, is_fragment
from gateway.studio.library_filters import (
    MOST_CHOICES,
    MOST_TAGS,
    asked_for,
    choices,
    narrows,
    tag_choices,
)
from gateway.studio.library_search import LibrarySearch
from gateway.studio.roles import Role, needs

_PAGE = 25
_FOUND_BY_MEANING = 20
_SUGGESTED = 12


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("library", __name__)
    search = LibrarySearch(desk)

    @pages.get("/library")
    @needs(Role.VIEWER)
    def page() -> str:
        asked = asked_for(request.args)
        shown = _found(asked, request.args.get("page_token", ""))
        if is_fragment():
            return render_template("library_rows.html", asked=asked, narrowed=narrows(asked), **shown)
        tags = desk.catalogue.tags(MOST_CHOICES)
        return render_template(
            "library.html",
            asked=asked,
            narrowed=narrows(asked),
            choices=choices(tags, asked),
            tags=tag_choices(tags, "", MOST_CHOICES),
            **shown,
        )

    @pages.get("/library/tags")
    @needs(Role.VIEWER)
    def tags() -> str:
        """Entries for the list under a field that is being written in: rarer tags, too."""
        text = request.args.get("tag", "").strip()[:200]
        found = tag_choices(desk.catalogue.tags(MOST_TAGS), text, MOST_CHOICES)
        return render_template("tag_options.html", tags=found)

    @pages.get("/library/suggest")
    @needs(Role.VIEWER)
    def suggest() -> str:
        """Assets whose words are being written, so that nobody has to know an id by heart."""
        text = (request.args.get("asset") or request.args.get("equivalent_to") or "").strip()[:200]
        found = desk.catalogue.library(None, q=text, page_size=_SUGGESTED)["assets"] if text else []
        return render_template("asset_options.html", assets=found)

    def _found(asked: dict[str, str], token: str) -> dict[str, Any]:
        if asked["q"] and asked["by"] == "meaning":
            return _by_meaning(asked)
        found = search.page(asked, _PAGE, token)
        return {
            "assets": found["assets"],
            "total": found["total"],
            "next_token": found["next_page_token"],
            "more": bool(token),
        }

    def _by_meaning(asked: dict[str, str]) -> dict[str, Any]:
        """The nearest of what is live: the search is the one that buyers' pages use."""
        if asked["status"] not in ("", "approved"):
            return {"assets": [], "total": 0, "next_token": None, "more": False}
        hits = desk.catalogue.search(asked["q"][:500], _FOUND_BY_MEANING, search.filter_of(asked))
        assets = desk.catalogue.named([hit["id"] for hit in hits]) if hits else []
        return {"assets": assets, "total": len(assets), "next_token": None, "more": False}

    return pages
