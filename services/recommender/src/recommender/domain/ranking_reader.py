"""Reads the ranking configuration, checked as a whole before it serves, and writes it down again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeVar

from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.ranking_config import (
    GOALS,
    POPULARITY_TERMS,
    TERMS,
    AgainSettings,
    CandidateSettings,
    Curve,
    FatigueSettings,
    FreshnessSettings,
    InterestSettings,
    LastingSettings,
    OtherLanguageSettings,
    QualitySettings,
    RankingConfig,
    RerankSettings,
)

T = TypeVar("T")


class _Table:
    """Reads numbers out of a table and notes what is wrong, by its place."""

    def __init__(self, table: object, place: str, mistakes: list[str]) -> None:
        if not isinstance(table, dict):
            mistakes.append(f"[{place}] is missing or not a table")
        self.table: dict[str, Any] = table if isinstance(table, dict) else {}
        self.place, self.mistakes = place, mistakes

    def number(
        self, key: str, *, least: float = 0.0, whole: bool = False, default: float | None = None
    ) -> float:
        value = self.table.get(key, default)
        kind = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < 1e12:
            what = "a whole number" if whole else "a number"
            self.mistakes.append(f"[{self.place}] {key}: must be {what} of {least:g} or more")
            return max(least, 1)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.mistakes.append(f"[{self.place}] {key}: must be a list of texts")
            return ()
        return tuple(value)

    def strays(self, known: tuple[str, ...]) -> None:
        self.mistakes += [f"[{self.place}] {key}: unknown" for key in self.table if key not in known]


def _settings(kind: type[T], root: Mapping[str, Any], place: str, mistakes: list[str]) -> T:
    table = _Table(root.get(place), place, mistakes)
    table.strays(tuple(f.name for f in fields(kind)))  # type: ignore[arg-type]
    values = {}
    for f in fields(kind):  # type: ignore[arg-type]
        half_life = "half_life" in f.name or "temperature" in f.name or "_half" in f.name
        least = 1e-3 if half_life or f.name == "recovery_days" else (1 if f.name == "width" else 0)
        values[f.name] = table.number(f.name, least=least, whole=f.type == "int")
    return kind(**values)


def _types(root: Mapping[str, Any], mistakes: list[str]) -> tuple[LastingSettings, AgainSettings]:
    """What may be missing: then no type is special, as in files written before there were these sections."""
    lasting = _Table(root.get("lasting", {}), "lasting", mistakes)
    lasting.strays(("types", "share"))
    again = _Table(root.get("again", {}), "again", mistakes)
    again.strays(("types", "after_days", "penalty"))
    share = lasting.number("share", default=1.0)
    if share > 1:
        mistakes.append("[lasting] share: must be at most 1")
    return LastingSettings(lasting.names("types"), share), AgainSettings(
        again.names("types"), again.number("after_days", default=0.0), again.number("penalty", default=0.0)
    )


def _other_language(root: Mapping[str, Any], mistakes: list[str]) -> OtherLanguageSettings:
    table = _Table(root.get("other_language", {}), "other_language", mistakes)
    table.strays(("penalty", "least_share"))
    share = table.number("least_share", default=0.0)
    if share > 1:
        mistakes.append("[other_language] least_share: must be at most 1")
    return OtherLanguageSettings(table.number("penalty", default=0.0), share)


def _curves(root: Mapping[str, Any], place: str, mistakes: list[str]) -> dict[str, Curve]:
    table = _Table(root.get(place, {}), place, mistakes)
    table.strays(TERMS)
    curves = {}
    for term, shape in table.table.items():
        x, y = (shape.get("x"), shape.get("y")) if isinstance(shape, dict) else (None, None)
        fine = isinstance(x, list) and isinstance(y, list) and len(x) == len(y) >= 2
        if fine and isinstance(x, list) and isinstance(y, list):
            fine = all(isinstance(v, int | float) and abs(v) < 1e9 for v in (*x, *y))
            fine = fine and all(a < b for a, b in pairwise(x))
        if not fine:
            mistakes.append(f"[{place}.{term}] needs x (ascending) and y of the same length, at least 2")
            continue
        curves[term] = Curve(tuple(map(float, x or ())), tuple(map(float, y or ())))
    return curves


def ranking_config_from(root: Mapping[str, Any], *, source: str) -> RankingConfig:
    """Build a checked configuration from a parsed table; raises ConfigurationInvalid with every mistake."""
    mistakes: list[str] = []
    known: tuple[str, ...] = (
        "name",
        "version",
        "interest",
        "candidates",
        "popularity_half_life_hours",
        "freshness",
        "quality",
    )
    known += ("lasting", "again", "other_language", "terms", "curves", "unproven_curves", "goals", "fatigue")
    known += ("rerank", "notes")
    mistakes += [f"{key}: unknown section" for key in root if key not in known]
    name, version = root.get("name"), root.get("version")
    if not isinstance(name, str) or not name:
        mistakes.append("name: must be a text")
    if not isinstance(version, int):
        mistakes.append("version: must be a whole number")
    hours = _Table(root.get("popularity_half_life_hours"), "popularity_half_life_hours", mistakes)
    hours.strays(POPULARITY_TERMS)
    terms = _Table(root.get("terms"), "terms", mistakes)
    terms.strays(TERMS)
    goals_table = _Table(root.get("goals", {}), "goals", mistakes)
    goals_table.strays(GOALS)
    goals = {}
    for goal in GOALS:
        factors = _Table(goals_table.table.get(goal, {}), f"goals.{goal}", mistakes)
        factors.strays(TERMS)
        goals[goal] = tuple(float(factors.number(term, default=1.0)) for term in TERMS)
    lasting, again = _types(root, mistakes)
    config = RankingConfig(
        name=str(name),
        version=version if isinstance(version, int) else 0,
        interest=_settings(InterestSettings, root, "interest", mistakes),
        candidates=_settings(CandidateSettings, root, "candidates", mistakes),
        popularity_half_lives=tuple(3600.0 * hours.number(t, least=0.01) for t in POPULARITY_TERMS),
        freshness=_settings(FreshnessSettings, root, "freshness", mistakes),
        lasting=lasting,
        again=again,
        other_language=_other_language(root, mistakes),
        quality=_settings(QualitySettings, root, "quality", mistakes),
        weights=tuple(float(terms.number(t, least=-1e6, default=0.0)) for t in TERMS),
        curves=MappingProxyType(_curves(root, "curves", mistakes)),
        unproven_curves=MappingProxyType(_curves(root, "unproven_curves", mistakes)),
        goals=MappingProxyType(goals),
        fatigue=_settings(FatigueSettings, root, "fatigue", mistakes),
        rerank=_settings(RerankSettings, root, "rerank", mistakes),
    )
    if config.rerank.explore_share > 1:
        mistakes.append("[rerank] explore_share: must be at most 1")
    if mistakes:
        raise ConfigurationInvalid(source, mistakes)
    return config


def load_ranking_config(data: bytes | None = None, *, source: str = "ranking.toml") -> RankingConfig:
    """Read the packaged configuration, or one's own in TOML or JSON."""
    raw = data if data is not None else files("recommender").joinpath("ranking.toml").read_bytes()
    try:
        text = raw.decode()
        root = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(source, [f"not readable as TOML or JSON: {error}"]) from error
    if not isinstance(root, dict):
        raise ConfigurationInvalid(source, ["must be a table"])
    return ranking_config_from(root, source=source)


def ranking_config_table(config: RankingConfig) -> dict[str, Any]:
    """The configuration as the table that it would be read from; `ranking_config_from` gives it back."""
    return {
        "name": config.name,
        "version": config.version,
        "interest": asdict(config.interest),
        "candidates": asdict(config.candidates),
        "popularity_half_life_hours": {
            t: s / 3600.0 for t, s in zip(POPULARITY_TERMS, config.popularity_half_lives, strict=True)
        },
        "freshness": asdict(config.freshness),
        "lasting": asdict(config.lasting) | {"types": list(config.lasting.types)},
        "again": asdict(config.again) | {"types": list(config.again.types)},
        "other_language": asdict(config.other_language),
        "quality": asdict(config.quality),
        "terms": dict(zip(TERMS, config.weights, strict=True)),
        "curves": {t: {"x": list(c.x), "y": list(c.y)} for t, c in config.curves.items()},
        "unproven_curves": {t: {"x": list(c.x), "y": list(c.y)} for t, c in config.unproven_curves.items()},
        "goals": {g: dict(zip(TERMS, f, strict=True)) for g, f in config.goals.items()},
        "fatigue": asdict(config.fatigue),
        "rerank": asdict(config.rerank),
    }
