"""What a parser's fuzz target is, and the list of all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = b"a secret of the fuzzing firm, 32 bytes"
_MODULES = ("import", "upload", "tracking", "intake", "request", "token", "stored")


@dataclass(frozen=True, slots=True)
class Target:
    """`check` takes any bytes and raises nothing but a finding; `weight` is its share of a long run.

    It swallows the errors that its parser promises to raise, and no other, and holds what comes out to what
    the code behind the parser takes for granted.
    """

    name: str
    check: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    weight: int


_TARGETS: dict[str, Target] = {}


def target(
    name: str, *seeds: bytes, weight: int
) -> Callable[[Callable[[bytes], object]], Callable[[bytes], object]]:
    def register(check: Callable[[bytes], object]) -> Callable[[bytes], object]:
        _TARGETS[name] = Target(name, check, seeds, weight)
        return check

    return register


def all_targets() -> dict[str, Target]:
    for name in _MODULES:
        import_module(f"fuzz.{name}_targets")
    return dict(_TARGETS)


def no_crash(error: Any) -> None:
    """A refusal is a 4xx: whatever came, it is not our fault that it makes no sense."""
    if error.status >= 500:
        raise error


def dumped(value: Any) -> bytes:
    """As an HTTP client could send it: our own writer would refuse what is nested deeply."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(value).encode()
    finally:
        sys.setrecursionlimit(usual)
