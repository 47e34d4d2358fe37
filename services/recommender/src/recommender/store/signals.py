"""The signal log: one transaction takes a request's events in, once each, and says what was new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg.errors
import sqlalchemy as sa

from recommender.domain.events import OUTCOMES, Event
from recommender.domain.identities import Identity, merge_traits
from recommender.store import claims, identities, identity_facts
from recommender.store.assets import asset_ids_by_url
from recommender.store.driver import copying

# Of a hundred ids the savepoint's trips to the database cost what COPY saves.
_MANY = 400


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that made no sense, kept with the reason."""

    message_key: str
    received_at: datetime
    kind: str
    code: str
    detail: str
    event: bytes


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    accepted: int
    duplicates: int
    refused: int  # of erased buyers


def identity_of(event: Event) -> Identity:
    """The identity a signal is kept under: the known one where both are given."""
    if event.user_id is not None:
        return Identity("user", event.user_id)
    return Identity("anonymous", event.anonymous_id or "")


def record(connection: sa.Connection, events: Sequence[Event], now: datetime) -> RecordOutcome:
    """Append what is new, merge who is who, mark the buyers' profiles stale. The caller commits."""
    new = _take_keys(connection, events)
    duplicates = len(events) - len(new)
    settled = claims.settle(connection, new)
    fresh = settled.events
    wanted = _all_identities(fresh)
    erased = identities.erased(connection, wanted)
    kept = [e for event in fresh if (e := _without(event, erased)) is not None] if erased else fresh
    if not kept:
        return RecordOutcome(0, duplicates, len(fresh))
    named = _all_identities(kept) if erased else wanted
    known = identities.ensure(connection, named, now, settled.users)
    owners = _owners(kept, known)
    accounts = identities.ensure_accounts(connection, _account_traits(kept), now, settled.accounts)
    moved = identity_facts.apply_facts(connection, kept, known, accounts)
    _append(connection, kept, owners, accounts)
    identities.mark_stale(connection, set(owners), moved)
    return RecordOutcome(len(kept), duplicates, len(fresh) - len(kept))


def _without(event: Event, erased: set[Identity]) -> Event | None:
    """None for an event of an erased buyer; from anybody else's the erased ids that it names are taken out."""
    if identity_of(event) in erased:
        return None
    named = {
        "anonymousId": [Identity("anonymous", event.anonymous_id or "")],
        "previousId": [
            Identity("user", event.previous_id or ""),
            Identity("anonymous", event.previous_id or ""),
        ],
    }
    gone = {field for field, ids in named.items() if erased.intersection(ids)}
    if not gone:
        return event
    raw = {key: value for key, value in orjson.loads(event.raw).items() if key not in gone}
    return event._replace(
        raw=orjson.dumps(raw),
        anonymous_id=None if "anonymousId" in gone else event.anonymous_id,
        previous_id=None if "previousId" in gone else event.previous_id,
    )


def _account_traits(events: Sequence[Event]) -> dict[str, dict[str, tuple[Any, float]]]:
    """Every account that the events name, with the dated traits that `group` calls give it."""
    said: dict[str, dict[str, tuple[Any, float]]] = {}
    for event in events:
        if event.group_id is not None:
            at = event.at.timestamp()
            given = event.traits if event.call == "group" else {}
            dated = {key: (value, at) for key, value in given.items()}
            said[event.group_id] = merge_traits(said.get(event.group_id, {}), dated)
    return said


def _all_identities(events: Sequence[Event]) -> list[Identity]:
    """Each once and sorted. An import names few people in many events, so ids are gathered as plain text."""
    users = {event.user_id for event in events}
    anonymous = {event.anonymous_id for event in events}
    # Segment lets `previousId` be either; taking both makes the answer the same in any order.
    either = {event.previous_id for event in events if event.call == "alias"}
    return sorted(
        [Identity("user", name) for name in users | either if name is not None]
        + [Identity("anonymous", name) for name in anonymous | either if name is not None]
    )


def _owners(events: Sequence[Event], known: Mapping[Identity, int]) -> list[int]:
    """The identity id that each signal is kept under."""
    users = {identity.external_id: id_ for identity, id_ in known.items() if identity.kind == "user"}
    return [
        users[event.user_id] if event.user_id is not None else known[identity_of(event)] for event in events
    ]


def _take_keys(connection: sa.Connection, events: Sequence[Event]) -> list[Event]:
    """Claim each message id; the ones claimed before, here or by another replica, drop out."""
    first = {event.message_key: event for event in reversed(events)}
    if len(events) >= _MANY and len(first) == len(events) and _take_new(connection, events):
        return list(events)
    # Which were new is sent back only when some were not.
    count, claimed = connection.exec_driver_sql(
        "WITH claimed AS (INSERT INTO recommender.signal_keys (message_key, received_at) "
        "SELECT key, %(at)s FROM unnest(%(keys)s::uuid[]) AS key ORDER BY key "
        "ON CONFLICT DO NOTHING RETURNING message_key) SELECT count(*), CASE WHEN count(*) < %(sent)s "
        "THEN replace(array_agg(message_key)::text, '-', '') END FROM claimed",
        # Written out here: the driver would look for characters to escape in each of thousands.
        {"keys": "{" + ",".join(first) + "}", "at": events[0].received_at, "sent": len(events)},
    ).one()
    if count == len(events):
        return list(events)
    new = set((claimed or "{}")[1:-1].split(","))
    return [e for e in events if first[e.message_key] is e and e.message_key in new]


def _take_new(connection: sa.Connection, events: Sequence[Event]) -> bool:
    """Claim ids that are all expected to be new. → False, with nothing claimed, if one is not.

    COPY costs the database half of an INSERT that is ready for conflicts. In the ids' order, so that two
    requests with the same ids wait for one another and do not block each other.
    """
    at = f"\t{events[0].received_at.isoformat()}\n"
    savepoint = connection.begin_nested()
    try:
        _copy(
            connection,
            "recommender.signal_keys (message_key, received_at)",
            at.join(sorted(event.message_key for event in events)) + at,
        )
    except sa.exc.IntegrityError as error:
        if not isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def _copy(connection: sa.Connection, target: str, rows: str) -> None:
    with copying(connection, target) as copy:
        copy.write(rows)


_COLUMNS = "at, received_at, identity_id, account_id, kind, asset_id, weight, message_key, event, page"


def _append(
    connection: sa.Connection,
    events: Sequence[Event],
    owners: Sequence[int],
    accounts: Mapping[str, int],
) -> None:
    """COPY takes thousands of rows at several times the speed of INSERT, in the same transaction."""
    pages = sorted({e.page for e in events if e.page is not None and e.asset_id is None})
    by_page = asset_ids_by_url(connection, pages)
    rows = []
    received_at = events[0].received_at.isoformat()  # one request, one moment
    for e, owner in zip(events, owners, strict=True):
        asset_id = e.asset_id or (by_page.get(e.page) if e.page is not None else None)
        outcome_of = accounts[e.group_id] if e.kind in OUTCOMES and e.group_id is not None else None
        rows.append(
            "\t".join(
                (
                    e.at.isoformat(),
                    received_at,
                    str(owner),
                    "\\N" if outcome_of is None else str(outcome_of),
                    _copied("view" if e.kind == "page" and asset_id is not None else e.kind),
                    "\\N" if asset_id is None else _copied(asset_id),
                    repr(e.weight),
                    e.message_key,
                    e.raw.decode().replace("\\", "\\\\"),  # JSON holds no line end and no tab as they are
                    # Kept for the asset that may come to this page.
                    "\\N" if asset_id is not None or e.page is None else _copied(e.page),
                )
            )
        )
    _copy(connection, f"recommender.signals ({_COLUMNS})", "\n".join(rows) + "\n")


def _copied(value: str) -> str:
    """As COPY's text format has it."""
    return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def keep_dead_letters(connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
    """Those of erased buyers are not kept: a replay would bring them back this way."""
    letters = _of_the_living(connection, letters)
    if letters:
        connection.exec_driver_sql(
            "INSERT INTO recommender.dead_letters (message_key, received_at, kind, code, detail, event) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (message_key) DO NOTHING",
            [(d.message_key, d.received_at, d.kind, d.code, d.detail, d.event) for d in letters],
        )


def _of_the_living(connection: sa.Connection, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    named = [_named_in(letter.event) for letter in letters]
    gone = (
        identities.erased(connection, sorted({one for some in named for one in some})) if letters else set()
    )
    return [letter for letter, some in zip(letters, named, strict=True) if not gone.intersection(some)]


def _named_in(event: bytes) -> list[Identity]:
    """Whom an event names that makes no sense otherwise."""
    try:
        raw = orjson.loads(event)
    except orjson.JSONDecodeError:  # cut off at its end
        return []
    values = (
        [raw.get(name) for name in ("userId", "anonymousId", "previousId")] if isinstance(raw, dict) else []
    )
    ids = [str(v) for v in values if isinstance(v, str | int) and not isinstance(v, bool)]
    return [Identity(kind, external_id) for external_id in ids for kind in ("user", "anonymous")]
