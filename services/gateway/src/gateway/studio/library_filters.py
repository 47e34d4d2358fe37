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
_MOST_VALUES = 20  # that hold what was written: all of them stand in the address that is asked
MOST_TAGS = 500  # a field, of which those that are sought are found


# Per field [value, how many assets carry it], as the recommender tells them.
Tags = Mapping[str, Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a list of filters, and how many assets it would leave by itself."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class TagChoice:
    """A tag, the fields that hold it, and how often it was given in all of them."""

    value: str
    fields: tuple[str, ...]
    count: int


def asked_for(arguments: Mapping[str, str]) -> dict[str, str]:
    return {name: arguments.get(name, "").strip() for name in NAMES}


def narrows(asked: Mapping[str, str]) -> bool:
    """Whether anything is asked for beyond the whole library."""
    return any(asked[name] for name in NAMES if name != "by")


def filter_of(asked: Mapping[str, str], now: datetime, tags: Tags | None = None) -> Document | None:
    """The filter tree that `/v1/search` takes, too; what nobody offers is left out.

    A tag is written as people say it, and looked up in `tags`; or `field:value`, as links hold it.
    """
    must: list[Document] = [
        {"field": name, "any_of": [asked[name]]} for name in ("type", "language") if asked[name]
    ]
    if asked["stage"] in STAGES:
        must.append({"field": "stage", "any_of": [asked["stage"]]})
    if asked["tag"]:
        must.append(_tagged(asked["tag"], tags or {}))
    if asked["published"] in PERIODS:
        days, since = PERIODS[asked["published"]]
        moment = (now - timedelta(days=days)).isoformat()
        must.append({"field": "published_at", "from" if since else "to": moment})
    return {"must": must} if must else None


def choices(tags: Tags, asked: Mapping[str, str]) -> dict[str, list[Choice]]:
    """Types and languages that can be chosen, the commonest first; what is asked for is always among them."""
    found = {}
    for name in ("type", "language"):
        known = [Choice(str(v), int(n)) for v, n in tags.get(name, ())]
        if asked[name] and all(choice.value != asked[name] for choice in known):
            known.append(Choice(asked[name], 0))
        found[name] = known
    return found


def tag_choices(tags: Tags, text: str, most: int) -> list[TagChoice]:
    """Tags that hold `text`, whatever its case, the commonest first; a word of several fields stands once."""
    sought, found = text.casefold(), dict[str, TagChoice]()
    for field in TAGS:
        for value, count in tags.get(field, ()):
            if sought in str(value).casefold():
                before = found.get(str(value), TagChoice(str(value), (), 0))
                found[str(value)] = TagChoice(
                    before.value, (*before.fields, field), before.count + int(count)
                )
    return sorted(found.values(), key=lambda one: (-one.count, one.value))[:most]


def _tagged(text: str, tags: Tags) -> Document:
    """Whoever carries this tag in any field; where there is none such, whoever carries one that holds it."""
    field, _, value = text.partition(":")
    if field in TAGS and value:
        return {"field": field, "any_of": [value]}
    like = tag_choices(tags, text, _MOST_VALUES)
    same = [one for one in like if one.value.casefold() == text.casefold()] or like
    # None of the commoner ones: it may still be there.
    wanted = {name: [one.value for one in same if name in one.fields] or [text] for name in TAGS}
    return {"should": [{"field": name, "any_of": values} for name, values in wanted.items()]}
