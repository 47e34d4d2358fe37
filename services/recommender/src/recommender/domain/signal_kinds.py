"""Which event is which kind of signal, and what each kind says: the table of `signals.toml`, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from recommender.domain.errors import ConfigurationInvalid

# Kinds that the code itself refers to, so every table must have them.
REQUIRED_KINDS = ("other", "page", "view", "impression", "click", "email_open")


@dataclass(frozen=True, slots=True)
class SignalKinds:
    """Kinds by name and index; lookups from events, pages and asset types."""

    names: tuple[str, ...]
    engagement: tuple[float, ...]  # [kinds], weight of interest, ≥ 0
    stage_signal: tuple[str | None, ...]  # [kinds], name in the stage model
    by_type: Mapping[tuple[str, str], str]  # (kind, asset type) → stage signal
    events: Mapping[str, str]  # lower-case event name → kind
    pages: tuple[tuple[str, str], ...]  # (substring of the path, kind), first match wins
    defaults: Mapping[str, str]  # track | page | screen → kind

    def index(self, kind: str) -> int:
        return self.names.index(kind)

    def kind_of_event(self, event: str) -> str:
        return self.events.get(event.strip().lower(), self.defaults["track"])

    def kind_of_page(self, path: str) -> str:
        lowered = path.lower()
        return next((kind for part, kind in self.pages if part in lowered), self.defaults["page"])

    def stage_signal_of(self, kind: str, asset_type: str | None) -> str | None:
        """The stage model's signal, given the asset's type where it is known; None says nothing."""
        if asset_type is not None and (special := self.by_type.get((kind, asset_type))) is not None:
            return special
        if kind not in self.names:  # identify, group, alias; and what a table of before had
            return None
        return self.stage_signal[self.index(kind)]


def load_signal_kinds(data: bytes | None = None, *, source: str = "signals.toml") -> SignalKinds:
    """Read the packaged table, or a firm's own; raises ConfigurationInvalid with every mistake."""
    raw = data if data is not None else files("recommender").joinpath("signals.toml").read_bytes()
    try:
        table = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(source, [f"not TOML: {error}"]) from error
    kinds = table.get("kinds", {})
    mistakes = [f"[kinds] lacks '{name}'" for name in REQUIRED_KINDS if name not in kinds]
    for name, kind in kinds.items():
        weight = kind.get("engagement") if isinstance(kind, dict) else None
        if not isinstance(weight, int | float) or weight < 0:
            mistakes.append(f"[kinds] {name}: engagement must be a number of 0 or more")
    for section in ("events", "pages", "defaults"):
        for key, kind in table.get(section, {}).items():
            if kind not in kinds:
                mistakes.append(f"[{section}] {key!r}: there is no kind {kind!r}")
    defaults = table.get("defaults", {})
    mistakes += [f"[defaults] lacks '{key}'" for key in ("track", "page", "screen") if key not in defaults]
    by_type = {
        (kind, asset_type): signal
        for kind, by in table.get("by_type", {}).items()
        for asset_type, signal in by.items()
    }
    mistakes += [f"[by_type.{k}] there is no kind {k!r}" for k in table.get("by_type", {}) if k not in kinds]
    for kind, model in table.get("like_kind", {}).items():
        if kind not in kinds or model not in table.get("by_type", {}):
            mistakes.append(f"[like_kind] {kind} = {model!r}: one of them has no table")
            continue
        by_type |= {(kind, t): s for (k, t), s in by_type.items() if k == model and (kind, t) not in by_type}
    if mistakes:
        raise ConfigurationInvalid(source, mistakes)
    names = tuple(kinds)
    return SignalKinds(
        names=names,
        engagement=tuple(float(kinds[name]["engagement"]) for name in names),
        stage_signal=tuple(kinds[name].get("stage") for name in names),
        by_type=by_type,
        events={event.lower(): kind for event, kind in table.get("events", {}).items()},
        pages=tuple(table.get("pages", {}).items()),
        defaults=table["defaults"],
    )
