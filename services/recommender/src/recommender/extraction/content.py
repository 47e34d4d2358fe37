"""What a reader finds in a file (`Content`) and what `extract` makes of it (`Extracted`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

FORMS = ("pdf", "docx", "pptx", "html", "markdown", "text")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says about itself.

    `published_at` is in UTC. `front_matter` is a Markdown file's YAML head, in JSON values only, keys as
    written (ids and topics are the caller's to use).
    """

    published_at: datetime | None = None
    image_url: str | None = None
    url: str | None = None
    front_matter: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """A reader's raw find: text not yet tidied, and whatever the file says of itself."""

    body: str
    title: str | None = None
    summary: str | None = None
    language: str | None = None
    language_is_certain: bool = False
    warnings: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of one file.

    `body` is plain text, paragraphs separated by blank lines. `language` is ISO 639-1, None when the text
    is too short to tell. `form` is one of `FORMS`. `warnings` are sentences for the person who uploaded it.
    """

    title: str | None
    summary: str | None
    body: str
    language: str | None
    form: str
    warnings: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)


def moment(value: object) -> datetime | None:
    """A time as files write it (date, RFC 3339, RFC 2822), in UTC; None when it is not one.

    A time without a zone is taken as UTC, a bare date as its midnight.
    """
    found: datetime | None = None
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, time())
    elif isinstance(value, str) and 8 <= len(value.strip()) <= 64:
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            try:
                found = parsedate_to_datetime(value.strip())
            except (ValueError, TypeError, IndexError, OverflowError):
                return None
    if found is None:
        return None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OverflowError, ValueError):  # the first and last days of the calendar have no UTC twin
        return None


def web_address(value: object, base: str | None = None) -> str | None:
    """An absolute http(s) address, resolved against `base`; None for anything else (`javascript:` too)."""
    if not isinstance(value, str) or not value.strip() or len(value) > 2_000:
        return None
    try:
        address = urljoin(base, value.strip()) if base else value.strip()
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    return address if address.isprintable() and " " not in address else None
