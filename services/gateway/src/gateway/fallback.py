"""What is shown when the recommender is away: the last good answers of a placement, then a static list."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cachetools import TTLCache
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from contract.base import Id, Url
from contract.recommendations import RecommendationRequest
from gateway.metrics import GatewayMetrics
from servicekit.settings import SettingsInvalid

_KEPT_ASSETS = 50
_KEPT_PLACEMENTS = 500


class FallbackAsset(BaseModel):
    """What may be shown to anybody about an asset: content alone, nothing about a person."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Id
    title: str
    url: Url
    type: str = "other"
    summary: str | None = None
    image_url: Url | None = None


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


class Fallback:
    """Remembers, per placement and filter, the assets last recommended there; thread-safe."""

    def __init__(
        self,
        static: Sequence[FallbackAsset],
        *,
        max_age_seconds: float,
        clock: Callable[[], float],
        metrics: GatewayMetrics,
    ) -> None:
        self._static = tuple(static)
        self._lock = threading.Lock()
        self._metrics = metrics
        self._good: TTLCache[tuple[str, bytes], dict[str, FallbackAsset]] = TTLCache(
            _KEPT_PLACEMENTS, max_age_seconds, timer=clock
        )

    def remember(self, request: RecommendationRequest, items: Sequence[Mapping[str, Any]]) -> None:
        """Keep what a good answer showed, newest first; the buyer it was for is not kept."""
        if request.as_of is not None or not items:
            return
        fresh = {str(item["id"]): item for item in items}
        with self._lock:
            known = self._good.get(_key(request), {})
            if len(known) >= len(fresh) and all(id_ in known for id_ in fresh):
                self._good[_key(request)] = known
                return
            merged = {id_: FallbackAsset.model_validate(item) for id_, item in fresh.items()}
            for id_, asset in known.items():
                merged.setdefault(id_, asset)
            self._good[_key(request)] = dict(list(merged.items())[:_KEPT_ASSETS])

    def answer(self, request: RecommendationRequest) -> FallbackAnswer:
        """The best that is left. A filter is kept: what cannot be checked against it is not shown."""
        unwanted = {*request.exclude_ids, request.context.asset_id}
        with self._lock:
            good = list(self._good.get(_key(request), {}).values())
        candidates = [asset for asset in good if asset.id not in unwanted]
        source, tier = "last_known_good", "popular"
        if not candidates:
            source, tier = "static", "static"
            candidates = [a for a in self._static if a.id not in unwanted] if not request.filter else []
        if not candidates:
            source = "empty"
        self._metrics.fallback_answers.labels(source).inc()
        return FallbackAnswer(tuple(candidates[: request.count]), source, tier)

    def forget(self, asset_id: str) -> None:
        """An asset was changed or taken away: it is not served from memory any more."""
        with self._lock:
            for assets in self._good.values():
                assets.pop(asset_id, None)

    def forget_all(self) -> None:
        with self._lock:
            self._good.clear()


def _key(request: RecommendationRequest) -> tuple[str, bytes]:
    tree = request.filter
    return request.placement, orjson.dumps(tree, option=orjson.OPT_SORT_KEYS) if tree else b""
