"""Whole numbers that somebody wrote into a form or an address."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]{1,18}")


def natural(text: str) -> int | None:
    """A whole number from 0 on that a bigint holds; None for anything else.

    `str.isdigit` says yes to "²", which `int` refuses. `int`, and so `type=int` of the framework, takes
    signs, underscores and numbers that no column holds; it refuses more than 4,300 digits.
    """
    return int(text) if _DIGITS.fullmatch(text) else None
