"""Assets' tags as small integer tables, so that terms about tags are array look-ups; one table a
catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import AssetCard, Catalogue
from recommender.numeric.text_space import Grown

T = TypeVar("T", bound=np.generic)
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
MOST_TAGS = 12
MOST_MATCHES = 64
ABSENT = -2
"""The buyer says nothing of this field."""
MISMATCHED = -1
"""The buyer's value is on no asset."""
UNTAGGED_MATCH = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class TagTable:
    """`index[(field, value)]` numbers the tags; `of_row` int32 [N, M], M ≤ MOST_TAGS, padded with
    `len(index)`; `count` float64 [N]; `tagged[field]` bool [N]; `type_of_row` int32 [N], the number of the
    asset's type.
    """

    index: Mapping[tuple[str, str], int]
    of_row: NDArray[np.int32]
    count: Floats
    tagged: Mapping[str, NDArray[np.bool_]]
    type_of_row: NDArray[np.int32]
    _matches: dict[tuple[str, int], Floats] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.index) + 1

    def find(self, field: str, value: str | None) -> int:
        return ABSENT if value is None else self.index.get((field, value), MISMATCHED)

    def match(self, field: str, wanted: int) -> Floats:
        """float64 [N]: 1 where the asset carries the tag `wanted`, a half where it has none of the field,
        else 0. Kept for the next buyer who says the same.
        """
        key = (field, wanted)
        if key not in self._matches:
            carries = (self.of_row == wanted).any(axis=1) if wanted >= 0 else np.zeros(len(self.count), bool)
            matched = np.where(carries, 1.0, np.where(self.tagged[field], 0.0, UNTAGGED_MATCH))
            if len(self._matches) >= MOST_MATCHES:
                self._matches.clear()
            self._matches[key] = matched
            return matched
        return self._matches[key]

    def affinity(self, rows: Rows, weights: Floats) -> Floats:
        """float64 [size]: the share of the weight that lies on assets with each tag, the padding's 0."""
        total = float(weights.sum())
        if total <= 0:
            return np.zeros(self.size)
        tags = self.of_row[rows]
        spread = np.repeat(weights, tags.shape[1])
        share = np.bincount(tags.ravel(), weights=spread, minlength=self.size) / total
        share[-1] = 0.0
        return share

    def mean(self, values: Floats, rows: Rows, carried: NDArray[np.int32]) -> Floats:
        """float64 [K]: the mean of a buyer's `values` [size] over each asset's tags; `carried` is
        `of_row[rows]`.
        """
        total = values.take(carried).sum(axis=1)
        mean: Floats = np.minimum(1.0, total / np.maximum(1.0, self.count.take(rows)))
        return mean


def _tags_of(card: AssetCard, host: str | None) -> list[tuple[str, str]]:
    tags = [("personas", p) for p in card.personas] + [("industries", i) for i in card.industries]
    tags += [("topics", t) for t in card.topics] + [("type", card.type)]
    return tags + ([("source", host)] if host else [])


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # an address no browser would open says nothing of its source
        return None


def _make_table(catalogue: Catalogue, former: tuple[int, TagTable] | None) -> TagTable:
    start, old = (0, None) if former is None else former
    index: dict[tuple[str, str], int] = {} if old is None else dict(old.index)
    added = catalogue.cards[start:]
    # Many assets carry the same tags, and few hosts hold them all: each combination is looked up once.
    hosts: dict[str, str | None] = {}
    numbered: dict[tuple[object, ...], int] = {}
    lists: list[list[int]] = []
    combination = np.empty(len(added), dtype=np.int64)
    for row, card in enumerate(added):
        base = "/".join(card.url.split("/", 3)[:3])
        host = hosts[base] if base in hosts else hosts.setdefault(base, _host(base))
        number = numbered.setdefault(
            (card.personas, card.industries, card.topics, card.type, host), len(lists)
        )
        if number == len(lists):
            tags = _tags_of(card, host)
            # The last ones are the most general, so a long list loses its middle.
            chosen = tags if len(tags) <= MOST_TAGS else tags[: MOST_TAGS - 2] + tags[-2:]
            lists.append([index.setdefault(tag, len(index)) for tag in chosen])
        combination[row] = number
    lengths = np.array([len(numbers) for numbers in lists], dtype=np.float64)
    width = max(1, int(lengths.max(initial=0)), 0 if old is None else old.of_row.shape[1])
    of_row = np.full((len(catalogue), width), len(index), dtype=np.int32)
    if old is not None:
        before = of_row[:start, : old.of_row.shape[1]]
        before[:] = np.where(old.of_row == old.size - 1, len(index), old.of_row)
    different = np.full((len(lists), width), len(index), dtype=np.int32)
    for place, numbers in enumerate(lists):
        different[place, : len(numbers)] = numbers
    of_row[start:] = different[combination]

    def grown(column: NDArray[T] | None, values: Any, kind: type[T]) -> NDArray[T]:
        new = np.asarray(values, dtype=kind)
        return new if column is None else np.concatenate([column, new])

    tagged = {
        name: grown(
            None if old is None else old.tagged[name], [bool(getattr(card, name)) for card in added], np.bool_
        )
        for name in ("personas", "industries")
    }
    count = grown(None if old is None else old.count, lengths[combination], np.float64)
    types = grown(
        None if old is None else old.type_of_row, [index[("type", card.type)] for card in added], np.int32
    )
    return TagTable(index, of_row, count, tagged, types)


tag_table: Grown[TagTable] = Grown(_make_table)
