"""The library's filters: what is asked for in the address, as the API's filter, and what can be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.studio.catalogue import Document
from gateway.studio.display import STAGES

NAMES = ("q", "by", "status", "type", "stage", "language", "tag", "published")
TAGS = ("topics", "personas", "industries", "regions")
# Within so many days, or before: what an editor looks for is the new and the old.
PERIODS: Mapping[str, tuple[int, bool]] = {
    "30": (30, True),
    "90": (90, True),
    "365": (365, True),
    "older": (365, False),
}
MOST_CHOICES = 40


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a list of filters: what the address holds, what people read, how many assets there are."""

    value: str
    text: str
    count: int


def asked_for(arguments: Mapping[str, str]) -> dict[str, str]:
    return {name: arguments.get(name, "").strip() for name in NAMES}


def narrows(asked: Mapping[str, str]) -> bool:
    """Whether anything is asked for beyond the whole library."""
    return any(asked[name] for name in NAMES if name != "by")


def filter_of(asked: Mapping[str, str], now: datetime) -> Document | None:
    """The filter tree that `/v1/search` takes, too; what nobody offers is left out."""
    must: list[Document] = [
        {"field": name, "any_of": [asked[name]]} for name in ("type", "language") if asked[name]
    ]
    if asked["stage"] in STAGES:
        must.append({"field": "stage", "any_of": [asked["stage"]]})
    field, _, value = asked["tag"].partition(":")
    if field in TAGS and value:
        must.append({"field": field, "any_of": [value]})
    if asked["published"] in PERIODS:
        days, since = PERIODS[asked["published"]]
        moment = (now - timedelta(days=days)).isoformat()
        must.append({"field": "published_at", "from" if since else "to": moment})
    return {"must": must} if must else None


def choices(tags: Mapping[str, Sequence[Sequence[Any]]], asked: Mapping[str, str]) -> dict[str, list[Choice]]:
    """Per field what can be chosen, the commonest first; what is asked for is always among it."""
    found = {
        field: [Choice(f"{field}:{v}" if field in TAGS else str(v), str(v), int(n)) for v, n in values]
        for field, values in tags.items()
    }
    field, _, value = asked["tag"].partition(":")
    chosen = {"type": asked["type"], "language": asked["language"]}
    if field in TAGS:
        chosen[field] = asked["tag"]
    for name, one in chosen.items():
        known = found.setdefault(name, [])
        if one and all(choice.value != one for choice in known):
            known.append(Choice(one, value if name in TAGS else one, 0))
    return found
