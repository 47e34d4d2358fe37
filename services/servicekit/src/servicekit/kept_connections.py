"""Connections that are kept open between two requests, the one that has been idle longest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class KeptConnections(Generic[T]):
    """What gunicorn asks of its deque, with a removal that doesn't look at all of them first.

    With six hundred clients that search took an eighth of a gateway's time.
    """

    def __init__(self) -> None:
        self._kept: dict[T, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        return iter(self._kept)

    def __getitem__(self, place: int) -> T:
        if place != 0 or not self._kept:
            raise IndexError(place)
        return next(iter(self._kept))

    def append(self, one: T) -> None:
        self._kept[one] = None

    def popleft(self) -> T:
        first = self[0]
        del self._kept[first]
        return first

    def remove(self, one: T) -> None:
        """Raises ValueError when it is not kept."""
        try:
            del self._kept[one]
        except KeyError:
            raise ValueError(one) from None

    def move_to_end(self, one: T) -> None:
        """It has just been used."""
        self.remove(one)
        self.append(one)
