"""Reading plain text files."""

from __future__ import annotations

from recommender.extraction.content import Content
from recommender.extraction.encoding import decode
from recommender.extraction.limits import Limits
from recommender.extraction.prose import tidy


def read_text(data: bytes, limits: Limits) -> Content:
    """The text in whatever encoding it came."""
    text, _ = decode(data)
    body = tidy(text[: 2 * limits.max_characters])
    warnings: tuple[str, ...] = ()
    if body.count("\ufffd") > 0.01 * len(body):
        warnings = ("Some letters could not be read; save the file as UTF-8 and upload it again.",)
    return Content(body=body, warnings=warnings)
