"""Assets as the domain sees them: the record an editor writes, and what is worked out from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from recommender.domain.errors import RevisionMismatch

# The first word found in the title or the URL's path decides; most telling first.
_TYPE_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "case_study",
        ("case study", "case-study", "customer story", "fallstudie", "referenz", "erfolgsgeschichte"),
    ),
    ("buyers_guide", ("buyer's guide", "buyers guide", "buyers-guide", "kaufberater", "einkaufsleitfaden")),
    ("comparison", (" vs ", " vs. ", "-vs-", "comparison", "compared", "vergleich", "alternatives to")),
    ("analyst_report", ("analyst report", "magic quadrant", "market report")),
    ("webinar_product", ("product webinar", "live demo", "product tour")),
    ("webinar_thought", ("webinar",)),
    ("whitepaper", ("white paper", "whitepaper", "white-paper")),
    ("ebook", ("ebook", "e-book")),
    ("infographic", ("infographic", "infografik")),
    ("podcast", ("podcast", "episode")),
    ("demo_video", ("demo video", "demo-video")),
    ("datasheet", ("data sheet", "datasheet", "datenblatt")),
    ("security", ("security overview", "trust center", "soc 2", "iso 27001", "sicherheitskonzept")),
    ("integration_docs", ("integration guide", "api reference", "connector")),
    ("roi_tool", ("roi calculator", "calculator", "rechner")),
    ("pricing", ("pricing", "preise", "preisliste")),
    ("trial", ("free trial", "testversion", "testzugang")),
    ("implementation_guide", ("implementation guide", "rollout plan", "einführungsplan")),
    ("onboarding", ("onboarding", "getting started", "erste schritte")),
    ("release_notes", ("release notes", "changelog", "versionshinweise", "what's new")),
    ("how_to", ("how to", "how-to", "anleitung", "so geht")),
)
DEFAULT_TYPE = "blog"
# PostgreSQL indexes values up to 2,704 bytes; a longer address is looked up by its hash.
_LONGEST_URL_KEY = 1_000


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """What an editor writes. Times are aware datetimes in UTC; `stages` are weights, not yet normalised."""

    asset_id: str
    title: str
    url: str
    summary: str | None = None
    body: str | None = None
    type: str = DEFAULT_TYPE
    language: str | None = None
    topics: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()
    industries: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    stages: Mapping[str, float] | None = None
    status: str = "approved"
    publish_at: datetime | None = None
    expires_at: datetime | None = None
    image_url: str | None = None
    equivalent_to: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def record_hash(self) -> bytes:
        """Equal for equal records: an import that is run again changes nothing."""
        return hashlib.blake2b(orjson.dumps(self, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()

    def text_hash(self) -> bytes:
        """Equal where the text that is embedded is equal: an edit of a tag embeds nothing again."""
        text = "\x00".join((self.title, self.summary or "", self.body or ""))
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """A record as it is stored. `embedding_model` is None while its embedding is pending."""

    record: AssetRecord
    revision: int
    created_at: datetime
    updated_at: datetime
    embedding_model: str | None

    @property
    def etag(self) -> str:
        return f'"{self.revision}.{"ready" if self.embedding_model else "pending"}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a writer expects of the stored asset: its revision, that there is one, or that there is none."""

    revision: int | None = None
    exists: bool | None = None

    def check(self, stored: int | None) -> None:
        """`stored` is the revision that is stored now, None without an asset. Raises RevisionMismatch."""
        if self.exists is False and stored is not None:
            raise RevisionMismatch("There is such an asset already, and If-None-Match: * was asked for.")
        if self.exists and stored is None:
            raise RevisionMismatch("There is no such asset, and If-Match was asked for.")
        if self.revision is not None and stored != self.revision:
            raise RevisionMismatch("The asset has changed since you read it; read it again.")


UNCONDITIONAL = Precondition()


def guess_type(title: str, url: str) -> str:
    """The type of an asset that says none, from the words of its title and URL; a blog post if none fits."""
    try:
        path = urlsplit(url).path
    except ValueError:  # an address that only looks like one still has words
        path = url
    text = f" {title} {path} ".lower()
    return next((kind for kind, words in _TYPE_WORDS if any(w in text for w in words)), DEFAULT_TYPE)


def url_key(url: str) -> str:
    """What two spellings of one page have in common: host without www, path without a last slash."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return _short(url)
    return _short(f"{host}{parts.path.rstrip('/')}")


def _short(key: str) -> str:
    text = key.encode("utf-8", "surrogatepass")
    return key if len(text) <= _LONGEST_URL_KEY else hashlib.blake2b(text, digest_size=16).hexdigest()
