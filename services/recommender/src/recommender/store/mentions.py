"""Where records of other people name an erased one: found as text, taken out of the JSON, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import orjson
import sqlalchemy as sa

from recommender.domain.identities import Identity

ERASED = "[erased]"
# A shorter text is part of many a word that has nothing to do with it: it counts only as a whole value.
TELLING_LENGTH = 8
# Traits that are as good as an id.
_CONTACT_TRAITS = ("email", "phone")
_ID_FIELDS = ("anonymousId", "userId", "previousId")


def names_of(connection: sa.Connection, identities: Sequence[tuple[int, Identity]]) -> list[str]:
    """The ids of a buyer, and the addresses among their traits that no other buyer has."""
    ids = [identity_id for identity_id, _ in identities]
    found = {identity.external_id for _, identity in identities}
    rows = connection.exec_driver_sql(
        "SELECT traits FROM recommender.identities WHERE identity_id = ANY(%s)", (ids,)
    )
    contacts = {
        value[0]
        for (traits,) in rows
        for name, value in traits.items()
        if name.lower() in _CONTACT_TRAITS and isinstance(value[0], str) and len(value[0]) >= TELLING_LENGTH
    }
    for contact in sorted(contacts - found):
        shared = connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM recommender.identities WHERE NOT identity_id = ANY(%s) "
            "AND traits::text LIKE %s)",
            (ids, _like(contact)),
        ).scalar_one()
        if not shared:
            found.add(contact)
    return sorted(found)


def in_bytes(name: str) -> list[bytes]:
    """How a name stands in an event that could not be read. A short one counts only as a whole value."""
    value = orjson.dumps(name)
    if len(name) >= TELLING_LENGTH:
        return [value[1:-1]]
    numbers = [b":%b%b" % (name.encode(), end) for end in (b",", b"}", b"]")]
    return [value, *numbers] if name.isdigit() else [value]


def scrub(connection: sa.Connection, names: Sequence[str]) -> set[str]:
    """Take the names out of other people's signals and out of accounts' traits. → tables that held one."""
    patterns = [_like(name) for name in _spellings(names)]
    touched = set()
    found = connection.exec_driver_sql(
        # Text is made of each event once, whatever the number of names.
        "SELECT s.tableoid::regclass::text, s.at, s.message_key, s.event, s.page FROM recommender.signals s, "
        "LATERAL (SELECT s.event::text AS said OFFSET 0) t WHERE t.said LIKE ANY(%s)",
        (patterns,),
    ).all()
    without = _Without(names)
    for table, at, key, event, page in found:
        clean = without.event(event)
        if clean == event:
            continue
        touched.add(str(table))
        # The page is the address again, as it is looked up by: no asset stands at one with a person in it.
        connection.exec_driver_sql(
            "UPDATE recommender.signals SET event = %s::jsonb, page = %s WHERE at = %s AND message_key = %s",
            (orjson.dumps(clean).decode(), None if without.names_in(page) else page, at, key),
        )
    accounts = connection.exec_driver_sql(
        "SELECT account_id, traits FROM recommender.accounts WHERE traits::text LIKE ANY(%s) "
        "ORDER BY account_id FOR NO KEY UPDATE",
        (patterns,),
    ).all()
    for account_id, traits in accounts:
        clean = without.value(traits)
        if clean != traits:
            touched.add("recommender.accounts")
            connection.exec_driver_sql(
                "UPDATE recommender.accounts SET traits = %s::jsonb WHERE account_id = %s",
                (orjson.dumps(clean).decode(), account_id),
            )
    return touched


def _spellings(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield name
        if len(name) >= TELLING_LENGTH and (encoded := quote(name, safe="")) != name:
            yield encoded  # as it stands in an address


def _like(text: str) -> str:
    """The text, as JSON in the database holds it, anywhere; a short one as a whole value."""
    written = orjson.dumps(text).decode()
    wanted = written[1:-1] if len(text) >= TELLING_LENGTH else written
    return "%" + re.sub(r"([\\%_])", r"\\\1", wanted) + "%"


class _Without:
    """JSON without the names: long ones are taken out of texts, short ones only where they are the text."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = frozenset(names)
        self._lower = [name.lower() for name in _spellings(names) if len(name) >= TELLING_LENGTH]
        telling = [re.escape(name) for name in _spellings(names) if len(name) >= TELLING_LENGTH]
        self._inside = re.compile(rf"(?<!\w)(?:{'|'.join(telling)})(?!\w)") if telling else None

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """An id of the event itself is left out, as if it had never been sent."""
        kept = {k: v for k, v in event.items() if not (k in _ID_FIELDS and v in self._whole)}
        clean: dict[str, Any] = self.value(kept)
        return clean

    def names_in(self, text: str | None) -> bool:
        """Whether one of the long names stands in the text, in whatever case."""
        return text is not None and any(name in text.lower() for name in self._lower)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            if value in self._whole:
                return ERASED
            return value if self._inside is None else self._inside.sub(ERASED, value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.value(name): self.value(one) for name, one in value.items()}
        return value
