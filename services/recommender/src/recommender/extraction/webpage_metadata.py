"""What a page says about itself: JSON-LD, OpenGraph, meta tags, headings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from recommender.extraction.content import Metadata, moment, web_address
from recommender.extraction.prose import has_words, one_line

_ARTICLE_TYPES = ("Article", "BlogPosting", "NewsArticle", "TechArticle", "Report", "WebPage", "CaseStudy")
_MAX_JSON_CHARACTERS = 200_000
_MAX_JSON_NODES = 2_000


@dataclass(frozen=True, slots=True)
class PageFacts:
    title: str | None = None
    description: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=Metadata)


def page_facts(tree: Any) -> PageFacts:
    """Title, description, language and metadata; must be called before scripts are dropped from the tree."""
    meta = _meta_tags(tree)
    linked = _linked_data(tree)
    canonical = next((link.get("href") for link in tree.xpath("//link[@rel='canonical']")), None)
    base = web_address(canonical) or web_address(meta.get("og:url"))
    url = base or web_address(linked.get("url"))
    image = linked.get("image")
    image = (
        image.get("url")
        if isinstance(image, dict)
        else image[0]
        if isinstance(image, list) and image
        else image
    )
    published = (
        meta.get("article:published_time")
        or linked.get("datePublished")
        or meta.get("date")
        or meta.get("dc.date")
        or next((at.get("datetime") for at in tree.xpath("//article//time[@datetime]")), None)
    )
    return PageFacts(
        title=_title(tree, meta, linked),
        description=_line(meta.get("description") or meta.get("og:description") or linked.get("description")),
        language=tree.get("lang") or meta.get("og:locale") or _text(linked.get("inLanguage")),
        metadata=Metadata(
            published_at=moment(published),
            image_url=web_address(meta.get("og:image") or image or meta.get("twitter:image"), url),
            url=url,
        ),
    )


def _title(tree: Any, meta: dict[str, str], linked: dict[str, Any]) -> str | None:
    headings = [
        one_line(h1.text_content()) for h1 in tree.xpath("//h1[not(ancestor::nav or ancestor::footer)]")
    ]
    headings = [heading for heading in headings if has_words(heading)]
    if len(headings) == 1:
        return headings[0]
    named = _line(meta.get("og:title")) or _line(linked.get("headline"))
    if named or headings:
        return named or headings[0]
    title = one_line(next((found.text_content() for found in tree.xpath("//head/title")), ""))
    site = one_line(meta.get("og:site_name", ""))
    if site and title.lower().endswith(site.lower()) and len(title) > len(site):
        title = title[: -len(site)].rstrip(" |–—-·:»")
    return title or None


def _meta_tags(tree: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in tree.xpath("//meta[@content]")[:500]:
        name = (tag.get("property") or tag.get("name") or "").strip().lower()
        if name:
            found.setdefault(name, tag.get("content"))
    return found


def _linked_data(tree: Any) -> dict[str, Any]:
    """The first article, or else dated thing, in JSON-LD; broken JSON-LD is common and counts as none."""
    second: dict[str, Any] = {}
    for script in tree.xpath("//script[@type='application/ld+json']")[:20]:
        text = script.text or ""
        if len(text) > _MAX_JSON_CHARACTERS:
            continue
        try:
            loaded = json.loads(text)
        except (ValueError, RecursionError):
            continue
        for node in _nodes(loaded):
            kinds = node.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if any(kind in _ARTICLE_TYPES for kind in kinds if isinstance(kind, str)):
                return node
            if not second and ("datePublished" in node or "headline" in node):  # a video, a course
                second = node
    return second


def _nodes(loaded: Any) -> Iterator[dict[str, Any]]:
    waiting, count = [loaded], 0
    while waiting and count < _MAX_JSON_NODES:
        count += 1
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting.extend(node[:_MAX_JSON_NODES])
        elif isinstance(node, dict):
            yield node
            if isinstance(node.get("@graph"), list):
                waiting.extend(node["@graph"][:_MAX_JSON_NODES])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _line(value: object) -> str | None:
    return (one_line(value) or None) if isinstance(value, str) else None
