"""Taking signals in: read, set aside what makes no sense, append the rest in one transaction."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg.errors
import sqlalchemy as sa

from recommender.domain.events import Event, EventInvalid, Reading, message_key, read_event
from recommender.domain.signal_kinds import SignalKinds
from recommender.service.clock import Clock
from recommender.service.meters import SignalMeters
from recommender.store import signals as store
from recommender.store.identities import IdentityGone
from recommender.store.partitions import Partitions
from recommender.store.signals import DeadLetter, RecordOutcome
from servicekit import logs
from servicekit.errors import BadRequest, Unavailable

_TRIES = 4
_ANSWERS = frozenset({"impression", "click"})
# Two requests about the same people may wait for one another; an erasure may take a buyer from under this.
_RETRIED = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ForeignKeyViolation,
)


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """A tracking request: the call that its path named, the parsed body, and what came with it."""

    call: str
    body: dict[str, Any]
    received_at: datetime
    agent: str | None
    opted_out: bool
    trusted: bool = True
    proven_users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignalOutcome:
    accepted: int
    duplicates: int
    dead_letters: int


class SignalService:
    """`record` returns when the events are committed, and not before."""

    def __init__(
        self,
        engine: sa.Engine,
        partitions: Partitions,
        kinds: SignalKinds,
        clock: Clock,
        metrics: SignalMeters,
        is_bot: Callable[[str], bool],
        on_recorded: Callable[[int], None],
    ) -> None:
        self._engine = engine
        self._partitions = partitions
        self._kinds = kinds
        self._clock = clock
        self._metrics = metrics
        self._is_bot = is_bot
        self._on_recorded = on_recorded
        self._log = logs.get("recommender")

    def record(self, request: SignalRequest) -> SignalOutcome:
        raws = raw_events(request)
        sent_at = request.body.get("sentAt")
        reading = Reading(
            received_at=request.received_at,
            kinds=self._kinds,
            sent_at=sent_at if isinstance(sent_at, str) else None,
            agent=request.agent,
            opted_out=request.opted_out,
            is_bot=self._is_bot,
            trusted=request.trusted,
            proven_users=request.proven_users,
        )
        call = None if request.call in {"batch", "import"} else request.call
        events: list[Event] = []
        letters: list[DeadLetter] = []
        for raw in raws:
            try:
                events.append(read_event(raw, call, reading))
            except EventInvalid as error:
                letters.append(_dead_letter(raw, call, request.received_at, error))
        outcome = self._commit(events, letters)
        for kind, count in Counts(event.kind for event in events).items():
            self._metrics.signals.labels(kind, "read").inc(count)
        for letter in letters:
            self._metrics.dead_letters.labels(letter.code).inc()
        if outcome.accepted:  # a request that was sent again is counted once
            for event in events:
                if event.kind in _ANSWERS:
                    self._count_answer(event)
        self._on_recorded(len(events))
        return SignalOutcome(outcome.accepted, outcome.duplicates, len(letters))

    def _count_answer(self, event: Event) -> None:
        """Where a recommendation was seen or followed stands in the event's properties alone."""
        properties = orjson.loads(event.raw).get("properties")
        said = properties if isinstance(properties, dict) else {}
        self._metrics.acted(event.kind, said.get("placement"), said.get("channel"))

    def _commit(self, events: list[Event], letters: list[DeadLetter]) -> RecordOutcome:
        self._partitions.ensure(event.at for event in events)
        for attempt in range(1, _TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    outcome = RecordOutcome(0, 0, 0)
                    if events:
                        outcome = store.record(connection, events, self._clock())
                    store.keep_dead_letters(connection, letters)
                return outcome
            except IdentityGone:
                self._log.info("signals_tried_again", attempt=attempt)
            except sa.exc.DBAPIError as error:
                if not isinstance(error.orig, _RETRIED):
                    raise
                self._log.info("signals_tried_again", attempt=attempt)
        raise Unavailable("The signals could not be stored just now; send them again.")


def raw_events(request: SignalRequest) -> list[Any]:
    """The events of a request, one or many. Raises BadRequest for a batch that is none."""
    if request.call not in {"batch", "import"}:
        return [request.body]
    batch = request.body.get("batch")
    if not isinstance(batch, list):
        raise BadRequest("A batch needs `batch`: a list of events.", code="batch_missing")
    context = request.body.get("context")
    if isinstance(context, dict):  # context given once for the whole batch
        return [
            {**e, "context": {**context, **c}}
            if isinstance(e, dict) and isinstance(c := e.get("context") or {}, dict)
            else e
            for e in batch
        ]
    return batch


def _dead_letter(raw: object, call: str | None, received_at: datetime, error: EventInvalid) -> DeadLetter:
    try:
        text = orjson.dumps(raw)
    except TypeError:  # nested too deeply: what lies on its surface tells where it came from
        surface = raw.items() if isinstance(raw, dict) else ()
        text = orjson.dumps({k: v if isinstance(v, str | int | float) else "…" for k, v in surface})
    said = raw.get("type") if isinstance(raw, dict) else None
    kind = call or (said if isinstance(said, str) else "unknown")
    key = message_key(text.decode(errors="replace"))
    return DeadLetter(
        key, received_at, kind[:40].replace("\x00", ""), error.code, error.detail, text[:65_536]
    )
