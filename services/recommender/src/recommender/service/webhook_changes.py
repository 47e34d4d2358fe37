"""Finding what webhook subscribers should be told: the truth is compared with what they were told last.

Reconciled and not announced: whatever made a stage change (a signal, a merge, silence, a new model), it is
found here; event and mark are written in one transaction, so that each change is told once into the outbox.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from recommender.domain.errors import AccountNotFound
from recommender.domain.identities import Identity
from recommender.domain.webhooks import READY, STAGE_CHANGED, SURGING, NewEvent
from recommender.service.buyer_view import BuyerReader, BuyerView
from recommender.service.buyers import BuyerService
from recommender.service.clock import Clock
from recommender.service.estimates import StageEstimator
from recommender.store import webhook_marks as marks
from recommender.store import webhooks as store
from recommender.store.webhook_marks import ChangedBuyer
from servicekit import logs

_ASSETS = 200
_BUYERS = 100
_SILENT = 20
_LOOKED_AT_EVERY = timedelta(days=1)
_UNKNOWN = "unknown"


class ChangeFinder:
    """One `step` looks once; it does nothing while nobody wants to be told."""

    def __init__(
        self,
        engine: sa.Engine,
        reader: BuyerReader,
        estimator: StageEstimator,
        buyers: BuyerService,
        clock: Clock,
        on_events: Callable[[Sequence[NewEvent]], None],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._estimator = estimator
        self._buyers = buyers
        self._clock = clock
        self._on_events = on_events
        self._log = logs.get("recommender")
        self._folded_at: datetime | None = None

    def step(self) -> int:
        """→ how many events were put into the outbox."""
        now = self._clock()
        with self._engine.begin() as connection:
            wanted = {
                event
                for endpoint in store.endpoints(connection)
                if endpoint.disabled_at is None
                for event in endpoint.events
            }
            if not marks.try_lock(connection):
                return 0
            since = marks.watched_since(connection, wanted, now)
            events: list[NewEvent] = []
            if READY in wanted:
                events += self._assets(connection, now)
            if STAGE_CHANGED in wanted or SURGING in wanted:
                events += self._people(connection, wanted, since, now)
            store.add_events(connection, events, now)
        if events:
            self._on_events(events)
        return len(events)

    def _assets(self, connection: sa.Connection, now: datetime) -> list[NewEvent]:
        marks.seed_assets(connection, READY, now)
        ready = marks.newly_ready(connection, now, _ASSETS)
        marks.mark(connection, "asset", [(asset.asset_id, {"text": asset.text_hash}) for asset in ready], now)
        return [
            _event(
                READY,
                {
                    "id": asset.asset_id,
                    "title": asset.title,
                    "url": asset.url,
                    "type": asset.type,
                    "revision": asset.revision,
                },
            )
            for asset in ready
        ]

    def _people(
        self, connection: sa.Connection, wanted: set[str], since: dict[str, datetime], now: datetime
    ) -> list[NewEvent]:
        begun = min(since[type_] for type_ in (STAGE_CHANGED, SURGING) if type_ in since)
        changed = marks.changed_buyers(connection, max(begun, self._folded_at or begun), _BUYERS)
        silent = marks.silent_buyers(connection, now - _LOOKED_AT_EVERY, _SILENT)
        events: list[NewEvent] = []
        told: list[tuple[str, dict[str, Any]]] = []
        accounts: set[str] = set()
        for buyer in {one.buyer_id: one for one in [*changed, *silent]}.values():
            view = self._reader.read(connection, Identity(_kind(buyer), buyer.external_id), None)
            if view.account is not None:
                accounts.add(view.account.row.external_id)
            shown = self._estimator.shown(
                self._estimator.of_buyer(view, now.timestamp()), now.timestamp(), with_evidence=False
            )
            before = self._stage_before(connection, buyer, since.get(STAGE_CHANGED, begun))
            if shown.name != before and buyer.user_id is not None and STAGE_CHANGED in wanted:
                data = _moved(buyer.user_id, view, before, shown.name, shown.confidence)
                data["distribution"] = dict(shown.distribution)
                events.append(_event(STAGE_CHANGED, data, buyer.buyer_id))
            told.append((str(buyer.buyer_id), {"version": buyer.version, "stage": shown.name}))
        marks.mark(connection, "buyer", told, now)
        if changed:
            self._folded_at = changed[-1].folded_at
        if SURGING in wanted:
            events += self._accounts(connection, sorted(accounts), now)
        return events

    def _stage_before(self, connection: sa.Connection, buyer: ChangedBuyer, since: datetime) -> str:
        """What subscribers know: the last mark, else the stage that there was when the watching began."""
        if buyer.told is not None:
            return str(buyer.told.get("stage", _UNKNOWN))
        if buyer.created_at >= since:
            return _UNKNOWN
        at = since.timestamp()
        view = self._reader.read(connection, Identity(_kind(buyer), buyer.external_id), None, at)
        return str(self._estimator.shown(self._estimator.of_buyer(view, at), at, with_evidence=False).name)

    def _accounts(
        self, connection: sa.Connection, account_ids: Sequence[str], now: datetime
    ) -> list[NewEvent]:
        events: list[NewEvent] = []
        told: list[tuple[str, dict[str, Any]]] = []
        for account_id in account_ids:
            try:
                surges = self._buyers.account(account_id).surging_topics
            except AccountNotFound:
                continue
            topics = sorted(str(surge["topic"]) for surge in surges)
            known = marks.told_of(connection, "account", account_id) or {"topics": []}
            fresh = sorted(set(topics) - set(known["topics"]))
            if fresh:
                data = {"account_id": account_id, "new_topics": fresh, "topics": [dict(s) for s in surges]}
                events.append(_event(SURGING, data))
            if topics != known["topics"]:
                told.append((account_id, {"topics": topics}))
        marks.mark(connection, "account", told, now)
        return events


def _kind(buyer: ChangedBuyer) -> Any:
    return buyer.identity_kind


def _moved(user_id: str, view: BuyerView, before: str, now: str, confidence: float) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "account_id": None if view.account is None else view.account.row.external_id,
        "from": before,
        "to": now,
        "confidence": confidence,
    }


def _event(type_: str, data: dict[str, Any], buyer_id: int | None = None) -> NewEvent:
    return NewEvent("evt_" + secrets.token_hex(16), type_, data, buyer_id)
