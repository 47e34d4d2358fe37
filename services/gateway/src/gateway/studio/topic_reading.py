"""Which of the library's topics a text speaks of: offered to whoever uploads it, and never stored unasked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_MOST = 5
_IN_TITLE = 3
_LEAST = 2  # a single word in passing says little of what a text is about
_READ = 200_000
_SPACES = re.compile(r"[\W_]+")


def topics_in(title: str, text: str, known: Sequence[Sequence[Any]]) -> list[str]:
    """`known` holds [topic, count]. → those that the text names oftest, at most five.

    Words are compared without case; `cold-chain` is named by “cold chain”. A topic of one word must be named
    twice, or in the title.
    """
    head, body = (f" {_SPACES.sub(' ', part[:_READ].casefold())} " for part in (title, text))
    found = []
    for topic, _ in known:
        words = _SPACES.sub(" ", str(topic).casefold()).strip()
        if len(words) < 2:
            continue
        named = _IN_TITLE * head.count(f" {words} ") + body.count(f" {words} ")
        if named >= (1 if " " in words else _LEAST):
            found.append((-named, -len(words), str(topic)))
    return [topic for _, _, topic in sorted(found)[:_MOST]]
