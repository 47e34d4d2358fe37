"""Reading plain text files."""

from __future__ import annotations

from recommender.extraction.content import Content
from recommender.extraction.encoding import decode
from recommender.extraction.limits import Limits
from recommender.extraction.prose import has_words, sentences, tidy

_MAX_TITLE_CHARACTERS = 120


def read_text(data: bytes, limits: Limits) -> Content:  # noqa: ARG001 - every reader takes the limits
    """The text in whatever encoding it came; the title is the first line when it reads like one."""
    text, _ = decode(data)
    body = tidy(text)
    warnings: tuple[str, ...] = ()
    if body.count("\ufffd") > 0.01 * len(body):
        warnings = ("Some letters could not be read; save the file as UTF-8 and upload it again.",)
    return Content(body=body, title=_title(body), warnings=warnings)


def _title(body: str) -> str | None:
    first, _, rest = body.partition("\n")
    first = first.lstrip("# ").strip()
    looks_like_one = (
        has_words(first)
        and len(first) <= _MAX_TITLE_CHARACTERS
        and not first.endswith((".", ",", ";", ":"))
        and len(sentences(first)) == 1
        and has_words(rest)
    )
    return first if looks_like_one else None
