"""Who is whom: facts about identities, and how they combine. Every rule gives the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson

IdentityKind = Literal["user", "anonymous"]
DatedTraits = Mapping[str, tuple[Any, float]]


class Identity(NamedTuple):
    """An id that a buyer is known by; a tuple, since an import compares hundreds of thousands of them."""

    kind: IdentityKind
    external_id: str


def _rank(dated: tuple[Any, float]) -> tuple[float, bytes]:
    return dated[1], orjson.dumps(dated[0], option=orjson.OPT_SORT_KEYS)


def merge_traits(*many: DatedTraits) -> dict[str, tuple[Any, float]]:
    """Key by key the latest value; of two at one moment the one that sorts later."""
    merged: dict[str, tuple[Any, float]] = {}
    for traits in many:
        for key, dated in traits.items():
            if key not in merged or _rank(dated) > _rank(merged[key]):
                merged[key] = (dated[0], dated[1])
    return merged


def plain_traits(many: Iterable[DatedTraits]) -> dict[str, Any]:
    """The traits of a buyer with several identities, without the times."""
    return {key: value for key, (value, _) in sorted(merge_traits(*many).items())}


def consent_rank(at: datetime, consent: Mapping[str, Any]) -> tuple[datetime, bytes]:
    """What was said later counts; of two at one moment the one that sorts later, whichever came first."""
    return at, orjson.dumps(consent, option=orjson.OPT_SORT_KEYS)


def links_earlier(at: datetime, user_id: str, known_at: datetime | None, known_user_id: str | None) -> bool:
    """An anonymous id belongs to whoever was first identified with it; a shared device stays with them."""
    if known_at is None or known_user_id is None:
        return True
    return (at, user_id) < (known_at, known_user_id)


_ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("procurement", ("procurement", "purchas", "buyer", "einkauf", "sourcing")),
    ("security", ("security", "ciso", "compliance", "privacy", "sicherheit", "datenschutz")),
    ("finance", ("financ", "cfo", "controll", "account manager", "finanz")),
    (
        "it",
        ("cto", "cio", "software", "developer", "engineer", "architect", "devops", " it ", "it-", "data "),
    ),
    ("operations", ("operation", "coo", "logist", "plant", "production", "supply", "betrieb", "werk")),
    ("marketing", ("marketing", "cmo", "brand", "content", "demand")),
    ("executive", ("ceo", "chief", "president", "founder", "managing director", "geschäftsführ", "vp ")),
)


def role_of(traits: Mapping[str, Any]) -> str | None:
    """The persona a buyer's traits speak of: `persona` or `role` as said, else read from the job title."""
    for key in ("persona", "role"):
        value = traits.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip().lower()
    title = next((traits[k] for k in ("title", "jobTitle", "job_title", "position") if traits.get(k)), None)
    if not isinstance(title, str):
        return None
    padded = f" {title.lower()} "
    return next((role for role, words in _ROLES if any(w in padded for w in words)), None)
