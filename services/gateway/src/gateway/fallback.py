"""What is shown when the recommender is away: the last good answers of a placement, then a static list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from cachetools import TTLCache
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from contract.base import Id, Time, Url
from contract.recommendations import RecommendationRequest
from gateway.metrics import GatewayMetrics
from servicekit.settings import SettingsInvalid

_KEPT_ASSETS = 50
_KEPT_PLACEMENTS = 500
_KEPT_WITHDRAWALS = 50_000
_UNDER_WAY_SECONDS = 5.0
Place = tuple[str, str]  # placement, and the filter as JSON or an empty text


class FallbackAsset(BaseModel):
    """What may be shown to anybody about an asset: content alone, nothing about a person."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Id
    title: str
    url: Url
    type: str = "other"
    summary: str | None = None
    image_url: Url | None = None
    expires_at: Time | None = None

    def expired(self, now: float) -> bool:
        """`now` in epoch seconds."""
        return self.expires_at is not None and self.expires_at.timestamp() <= now


@dataclass(frozen=True, slots=True)
class FallbackAnswer:
    assets: tuple[FallbackAsset, ...]
    source: str  # last_known_good, static or empty
    tier: str


def read_static_list(path: Path | None) -> tuple[FallbackAsset, ...]:
    """Raises `SettingsInvalid` at start, and not a surprise on the worst day."""
    if path is None:
        return ()
    try:
        return tuple(TypeAdapter(list[FallbackAsset]).validate_json(path.read_bytes()))
    except OSError as error:
        raise SettingsInvalid(f"FOREWORD_STATIC_FALLBACK_FILE: {path} cannot be read.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"])
        raise SettingsInvalid(
            f"FOREWORD_STATIC_FALLBACK_FILE: {path} is not a list of assets ({where}: {first['msg']})."
        ) from error


class Sharing(Protocol):
    """What the replicas tell one another of their fallbacks."""

    def withdraw(self, asset_ids: Sequence[str] | None) -> None: ...
    def ensure_fresh(self) -> None: ...


class Alone:
    """One replica, which has nobody to tell."""

    def withdraw(self, asset_ids: Sequence[str] | None) -> None:
        pass

    def ensure_fresh(self) -> None:
        pass


class Fallback:
    """Remembers, per placement and filter, the assets last recommended there; thread-safe."""

    def __init__(
        self,
        static: Sequence[FallbackAsset],
        *,
        max_age_seconds: float,
        clock: Callable[[], float],
        metrics: GatewayMetrics,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._static = tuple(static)
        self._lock = threading.Lock()
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._good: TTLCache[Place, dict[str, FallbackAsset]] = TTLCache(
            _KEPT_PLACEMENTS, max_age_seconds, timer=clock
        )
        # An answer that was under way when its asset was taken away must not bring it back.
        self._withdrawn: TTLCache[str, None] = TTLCache(_KEPT_WITHDRAWALS, _UNDER_WAY_SECONDS, timer=clock)
        self._changed: set[Place] = set()
        self.sharing: Sharing = Alone()

    def remember(self, request: RecommendationRequest, items: Sequence[Mapping[str, Any]]) -> None:
        """Keep what a good answer showed, newest first; the buyer it was for is not kept."""
        if request.as_of is not None or not items:
            return
        fresh = {str(item["id"]): item for item in items}
        place = _place(request)
        with self._lock:
            known = self._good.get(place, {})
            if len(known) >= len(fresh) and all(id_ in known for id_ in fresh):
                self._good[place] = known
                return
            merged = {id_: asset for id_, item in fresh.items() if (asset := self._read(item)) is not None}
            for id_, asset in known.items():
                merged.setdefault(id_, asset)
            self._good[place] = dict(list(merged.items())[:_KEPT_ASSETS])
            self._changed.add(place)

    def _read(self, item: Mapping[str, Any]) -> FallbackAsset | None:
        """None for what could not be shown to anybody; it must not spoil the answer it came with."""
        try:
            asset = FallbackAsset.model_validate(item)
        except ValidationError:
            return None
        return None if asset.id in self._withdrawn else asset

    def answer(self, request: RecommendationRequest) -> FallbackAnswer:
        """The best that is left: this placement's last, then the static list, then other placements'.

        A filter is kept: what cannot be checked against it is not shown.
        """
        self.sharing.ensure_fresh()
        now = self._wall_clock()
        unwanted = {*request.exclude_ids, request.context.asset_id}
        with self._lock:
            good = list(self._good.get(_place(request), {}).values())
            others = [] if request.filter else [a for kept in self._good.values() for a in kept.values()]
        for source, tier, assets in (
            ("last_known_good", "popular", good),
            ("static", "static", [] if request.filter else self._static),
            ("last_known_good", "popular", others),
        ):
            shown = {a.id: a for a in assets if a.id not in unwanted and not a.expired(now)}
            if shown:
                self._metrics.fallback_answers.labels(source).inc()
                return FallbackAnswer(tuple(list(shown.values())[: request.count]), source, tier)
        self._metrics.fallback_answers.labels("empty").inc()
        return FallbackAnswer((), "empty", "static")

    def forget(self, *asset_ids: str) -> None:
        """Assets were changed or taken away: no replica serves them from memory any more."""
        self.drop(asset_ids)
        self.sharing.withdraw(asset_ids)

    def forget_all(self) -> None:
        """Any asset may have changed."""
        self.drop(None)
        self.sharing.withdraw(None)

    def forget_stored(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand an import's result lines on, and forget what each piece says was stored before it goes."""
        waiting = b""
        for chunk in chunks:
            *lines, waiting = (waiting + chunk).split(b"\n")
            self._forget_lines(lines)
            yield chunk
        self._forget_lines([waiting])

    def _forget_lines(self, lines: Sequence[bytes]) -> None:
        stored = []
        for line in lines:
            try:
                result = orjson.loads(line) if line.strip() else None
            except orjson.JSONDecodeError:
                self.forget_all()
                return
            if isinstance(result, dict) and result.get("result") != "unchanged" and result.get("id"):
                stored.append(str(result["id"]))
        if stored:
            self.forget(*stored)

    def drop(self, asset_ids: Sequence[str] | None) -> None:
        """Out of this replica's memory; None for everything."""
        with self._lock:
            if asset_ids is None:
                self._changed.clear()
                self._good.clear()
                self._withdrawn.clear()
                return
            for asset_id in asset_ids:
                self._withdrawn[asset_id] = None
            gone = set(asset_ids)
            for place, assets in self._good.items():
                for asset_id in gone & assets.keys():
                    del assets[asset_id]
                    self._changed.add(place)

    def take_changed(self) -> dict[Place, list[FallbackAsset]]:
        """What is to be written down since the last call."""
        with self._lock:
            changed = {p: list(self._good[p].values()) for p in self._changed if p in self._good}
            self._changed.clear()
        return changed

    def restore(self, place: Place, assets: Sequence[Mapping[str, Any]]) -> None:
        """What a replica wrote down earlier, unless this one knows better already."""
        with self._lock:
            if place not in self._good:
                read = [asset for item in assets if (asset := self._read(item)) is not None]
                self._good[place] = {asset.id: asset for asset in read}


def _place(request: RecommendationRequest) -> Place:
    tree = request.filter
    return request.placement, orjson.dumps(tree, option=orjson.OPT_SORT_KEYS).decode() if tree else ""
