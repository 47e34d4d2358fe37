"""What events would be taken for, told to whoever integrates: read as the log reads them, and not stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from recommender.domain.events import Event, EventInvalid, Reading, read_event
from recommender.domain.signal_kinds import SignalKinds
from recommender.service.signals import SignalRequest, raw_events
from recommender.store.assets import asset_ids_by_url
from recommender.store.signal_checks import AssetFacts, assets_by_id, known_keys
from servicekit import database

_MOST_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Judged:
    """One event: what it was read as, or why it would become a dead letter."""

    event: Event | None
    stated_at: object = None
    asset: AssetFacts | None = None
    found_by: str | None = None
    duplicate: bool = False
    code: str | None = None
    detail: str | None = None


class SignalValidator:
    """Reads events as `SignalService` does; only assets and message ids are looked up, never a person."""

    def __init__(self, engine: sa.Engine, kinds: SignalKinds, is_bot: Callable[[str], bool]) -> None:
        self._engine = engine
        self._kinds = kinds
        self._is_bot = is_bot

    def validate(self, request: SignalRequest) -> dict[str, Any]:
        """A description of each event, of the first 500. Raises BadRequest for a batch that is none."""
        raws = raw_events(request)
        call = None if request.call in {"batch", "import"} else request.call
        sent_at = request.body.get("sentAt")
        reading = Reading(
            received_at=request.received_at,
            kinds=self._kinds,
            sent_at=sent_at if isinstance(sent_at, str) else None,
            agent=request.agent,
            opted_out=request.opted_out,
            is_bot=self._is_bot,
        )
        judged = [self._read(raw, call, reading) for raw in raws[:_MOST_EVENTS]]
        events = [one.event for one in judged if one.event is not None]
        with database.reading(self._engine) as connection:
            by_page = asset_ids_by_url(
                connection, sorted({e.page for e in events if e.page is not None and e.asset_id is None})
            )
            named = {e.asset_id for e in events if e.asset_id is not None} | set(by_page.values())
            assets = assets_by_id(connection, sorted(named))
            seen = known_keys(connection, [e.message_key for e in events])
        described = [self._described(one, by_page, assets, seen, reading) for one in judged]
        return {"events": described, "left_out": max(0, len(raws) - _MOST_EVENTS)}

    @staticmethod
    def _read(raw: object, call: str | None, reading: Reading) -> Judged:
        stated = raw.get("originalTimestamp") or raw.get("timestamp") if isinstance(raw, dict) else None
        try:
            return Judged(read_event(raw, call, reading), stated)
        except EventInvalid as error:
            return Judged(None, stated, code=error.code, detail=error.detail)

    def _described(
        self,
        judged: Judged,
        by_page: Mapping[str, str],
        assets: Mapping[str, AssetFacts],
        seen: set[str],
        reading: Reading,
    ) -> dict[str, Any]:
        event = judged.event
        if event is None:
            return {"accepted": False, "dead_letter": {"code": judged.code, "detail": judged.detail}}
        by_url = by_page.get(event.page) if event.asset_id is None and event.page is not None else None
        asset_id = event.asset_id or by_url
        asset = assets.get(asset_id) if asset_id is not None else None
        kind = "view" if event.kind == "page" and asset_id is not None else event.kind
        return {
            "accepted": True,
            "call": event.call,
            "type": kind,
            "weight": event.weight * self._kinds.engagement[self._kinds.index(kind)]
            if kind in self._kinds.names
            else event.weight,
            "stage_signal": self._stage_signal(kind, asset),
            "asset": {
                "id": asset_id,
                "found": asset is not None,
                "by": None if asset_id is None else "asset_id" if event.asset_id is not None else "url",
                "title": None if asset is None else asset.title,
                "type": None if asset is None else asset.type,
                "status": None if asset is None else asset.status,
            },
            "identity": {
                "kind": "user" if event.user_id is not None else "anonymous",
                "id": event.user_id if event.user_id is not None else event.anonymous_id,
                "joins": _joins(event),
            },
            "account_id": event.group_id,
            "at": event.at,
            "clock": _clock(event.at, judged.stated_at, reading),
            "flags": self._flags(event, asset_id, asset, seen),
        }

    def _stage_signal(self, kind: str, asset: AssetFacts | None) -> str | None:
        if kind not in self._kinds.names:
            return None
        return self._kinds.stage_signal_of(kind, None if asset is None else asset.type)

    def _flags(
        self, event: Event, asset_id: str | None, asset: AssetFacts | None, seen: set[str]
    ) -> list[dict[str, str]]:
        """What an integrator would want to know, though the event is taken."""
        found = []
        if event.message_key in seen:
            found.append(("duplicate", "A signal with this messageId is stored; this one would not be."))
        if asset_id is not None and asset is None:
            found.append(("asset_unknown", "There is no asset with this id now."))
        if event.weight == 0.0:
            found.append(("crawler", "The user agent is a known crawler: kept, and counted for nothing."))
        if event.call == "track" and event.kind == self._kinds.defaults["track"]:
            found.append(("event_unmapped", "No entry in the table of events: taken for the default kind."))
        if event.opted_out:
            found.append(("opted_out", "Sec-GPC: this buyer will not be profiled."))
        return [{"code": code, "detail": detail} for code, detail in found]


def _joins(event: Event) -> list[dict[str, str]]:
    """Ids that the event says belong to the same buyer."""
    if event.call == "identify" and event.user_id is not None and event.anonymous_id is not None:
        return [{"kind": "anonymous", "id": event.anonymous_id}]
    if event.call == "alias" and event.previous_id is not None:
        return [{"kind": "user", "id": event.previous_id}, {"kind": "anonymous", "id": event.previous_id}]
    return []


def _clock(at: datetime, stated: object, reading: Reading) -> dict[str, Any]:
    """How the sender's clock was corrected: what was stated, and by how much that moved."""
    moved = None
    if isinstance(stated, str):
        said = datetime.fromisoformat(stated)
        said = said if said.tzinfo is not None else said.replace(tzinfo=reading.received_at.tzinfo)
        moved = round((at - said).total_seconds(), 3)
    return {"stated": stated, "corrected_seconds": moved, "received_at": reading.received_at}
