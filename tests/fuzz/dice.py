"""Structure out of bytes: what a fuzzer mutates as bytes becomes JSON documents, tables and archives.

A fuzzer that sends bytes alone seldom gets past `{`. Here each byte is a decision, so that a small change of
the input is a small change of the document, and the words are those that our parsers know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ODD_TEXTS = (
    "",
    " ",
    "\u0000",
    "\ufeff",
    "\u202e",
    "\ud7ff",
    "é",
    "日本語",
    "🧊",
    "..",
    ".",
    "../../etc/passwd",
    "a" * 201,
    "x" * 3000,
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "%00%ff",
    "\r\n",
    "\x01unproven:",
    "2026-01-31T12:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30",
    "1e309",
    "https://www.example.com/a?b=c#d",
    "http://[::1",
    "//",
    "javascript:alert(1)",
    "[" * 40,
    '{"a":' * 20,
)
_ODD_NUMBERS = (
    0,
    -1,
    1,
    5,
    50,
    51,
    2**31,
    2**53,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    1e308,
    -1e308,
    1e-320,
    0.5,
    1764000000,
    1764000000000,
    -62135596801,
    253402300800,
)


class Dice:
    """Decisions out of bytes; when they run out, every further one is the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def spent(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        if self.spent:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def below(self, most: int) -> int:
        """0 to `most` - 1."""
        value = self.byte() if most <= 256 else self.byte() * 256 + self.byte()
        return value % most

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.below(len(choices))]

    def raw(self, most: int) -> bytes:
        size = self.below(most + 1)
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def text(self, words: Sequence[str] = ()) -> str:
        kind = self.below(8)
        if words and kind < 4:
            return str(self.pick(words))
        if kind < 6:
            return str(self.pick(_ODD_TEXTS))
        return self.raw(24).decode("utf-8", "replace")

    def value(self, names: Sequence[str], words: Sequence[str], depth: int = 0) -> Any:
        """Any JSON value, with keys from `names` and texts from `words` where luck has it."""
        kind = self.below(16)
        if depth < 6 and kind in (0, 1, 2):
            return self.document(names, words, depth + 1)
        if depth < 6 and kind in (3, 4):
            return [self.value(names, words, depth + 1) for _ in range(self.below(5))]
        if kind == 5:
            return self.pick((None, True, False))
        if kind in (6, 7):
            return self.pick(_ODD_NUMBERS)
        if kind == 8 and self.below(8) == 0:
            return self.nested(self.pick((30, 120, 250, 254, 255, 400, 900, 1020)))
        return self.text(words)

    def nested(self, depth: int) -> Any:
        value: Any = "deep"
        as_list = self.below(2) == 0
        for _ in range(depth):
            value = [value] if as_list else {"a": value}
        return value

    def document(self, names: Sequence[str], words: Sequence[str], depth: int = 0) -> dict[str, Any]:
        found = {}
        for _ in range(self.below(9)):
            name = str(self.pick(names)) if names and self.below(16) else self.text()
            found[name] = self.value(names, words, depth)
        return found
