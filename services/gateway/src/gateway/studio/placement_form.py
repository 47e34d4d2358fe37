"""The form of a placement's rules, read into what the recommender takes."""

from __future__ import annotations

from typing import Any

from gateway.studio.catalogue import Document
from servicekit.errors import Unprocessable


def lines(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def rules_of(form: Any) -> Document:
    """Raises `Unprocessable` when a number is none."""
    return {"pin": lines(form.get("pin", "")), "exclude": lines(form.get("exclude", ""))}


def whole(text: str, what: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdigit():
        raise Unprocessable(f"{what} is a whole number.")
    return int(text)
