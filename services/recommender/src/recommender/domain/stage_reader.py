"""Reading a parsed TOML table key by key while collecting every mistake with its place."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any

SUM_TOLERANCE = 1e-6


class Section:
    """One table of the file. Reads answer a harmless stand-in after a mistake, so that reading can go on."""

    def __init__(self, table: Any, place: str, mistakes: list[str]) -> None:
        self.place = place
        self.mistakes = mistakes
        self._read: set[str] = set()
        if not isinstance(table, Mapping):
            self.mistake("", f"must be a table, not {_kind(table)}")
            table = {}
        self.table: Mapping[str, Any] = table

    def mistake(self, key: str, what: str) -> None:
        """Note a mistake at a key of this table."""
        where = ".".join(part for part in (self.place, key) if part) or "the file"
        self.mistakes.append(f"{where}: {what}")

    def names(self) -> tuple[str, ...]:
        """Every key, all taken as known."""
        self._read.update(self.table)
        return tuple(self.table)

    def close(self) -> None:
        """Call after the last read: keys that nothing asked for are mistakes."""
        for key in self.table:
            if key not in self._read:
                self.mistake(key, "unknown key")

    def section(self, key: str, *, optional: bool = False) -> Section:
        if optional and key not in self.table:
            return Section({}, self._place_of(key), self.mistakes)
        return Section(self._value(key, {}), self._place_of(key), self.mistakes)

    def text(self, key: str, default: str = "") -> str:
        value = self._value(key, default)
        if not isinstance(value, str) or not value.strip():
            if key in self.table:
                self.mistake(key, f"must be a text that is not empty, not {_kind(value)}")
            return default
        return value

    def texts(self, key: str, *, least: int = 1, most: int = 10_000) -> tuple[str, ...]:
        value = self._value(key, [])
        if key not in self.table:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.mistake(key, "must be a list of texts")
            return ()
        if not least <= len(value) <= most:
            self.mistake(key, f"must hold {least} to {most} texts, not {len(value)}")
        for one in sorted({one for one in value if value.count(one) > 1}):
            self.mistake(key, f"names {one!r} more than once")
        return tuple(dict.fromkeys(value))

    def number(
        self, key: str, *, low: float = 0.0, high: float = math.inf, above: bool = False, signed: bool = False
    ) -> float:
        """A finite number from `low` to `high` (`above`: greater than low; `signed`: any sign)."""
        stand_in = low if math.isfinite(high) or not above else low + 1.0
        value = self._value(key, stand_in)
        if key not in self.table:
            return stand_in
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.mistake(key, f"must be a number, not {_kind(value)}")
            return stand_in
        if not math.isfinite(value):
            self.mistake(key, "must be a finite number")
            return stand_in
        if signed:
            return float(value)
        if value < 0 and low >= 0:
            self.mistake(key, f"must not be negative, is {value:g}")
            return stand_in
        if value < low or value > high or (above and value <= low):
            bound = f"above {low:g}" if above else f"at least {low:g}"
            self.mistake(
                key, f"must be {bound}{f' and at most {high:g}' if math.isfinite(high) else ''}, is {value:g}"
            )
            return stand_in
        return float(value)

    def integer(self, key: str, *, low: int = 0) -> int:
        value = self._value(key, low)
        if isinstance(value, bool) or not isinstance(value, int):
            self.mistake(key, f"must be a whole number, not {_kind(value)}")
            return low
        if value < low:
            self.mistake(key, f"must be at least {low}, is {value}")
            return low
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self._value(key, [])
        if not isinstance(value, list) or not all(
            isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value
        ):
            self.mistake(key, "must be a list of finite numbers")
            return ()
        return tuple(float(one) for one in value)

    def instant(self, key: str) -> float:
        """A moment with its offset from UTC, as seconds since the epoch."""
        value = self._value(key, dt.datetime(1990, 1, 1, tzinfo=dt.UTC))
        if not isinstance(value, dt.datetime) or value.tzinfo is None:
            self.mistake(key, "must be a moment with its offset from UTC, such as 1990-01-01T00:00:00Z")
            return 0.0
        return value.timestamp()

    def choice(self, key: str, allowed: Iterable[str], what: str) -> str | None:
        value = self._value(key, None)
        if key not in self.table:
            return None
        if value not in tuple(allowed):
            self.mistake(key, f"unknown {what} {value!r}")
            return None
        return str(value)

    def choices(self, key: str, allowed: Iterable[str], what: str) -> tuple[str, ...]:
        known = tuple(allowed)
        named = self.texts(key)
        for one in named:
            if one not in known:
                self.mistake(key, f"unknown {what} {one!r}")
        return tuple(one for one in named if one in known)

    def known_keys(self, allowed: Iterable[str], what: str) -> tuple[str, ...]:
        """The keys of this table that are allowed; each other one is a mistake."""
        known = tuple(allowed)
        for key in self.names():
            if key not in known:
                self.mistake(key, f"unknown {what}")
        return tuple(key for key in self.table if key in known)

    def must_sum_to(self, values: Iterable[float], total: float) -> None:
        reached = math.fsum(values)
        if abs(reached - total) > SUM_TOLERANCE:
            self.mistake("", f"must sum to {total:g}, sums to {reached:g}")

    def _value(self, key: str, stand_in: Any) -> Any:
        self._read.add(key)
        if key not in self.table:
            self.mistake(key, "missing")
            return stand_in
        return self.table[key]

    def _place_of(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def _kind(value: Any) -> str:
    names = {bool: "true or false", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, Mapping) else type(value).__name__)
