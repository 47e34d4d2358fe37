"""Builds the catalogue's picture as changes come in: rows are appended, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.domain.assets import url_key
from recommender.domain.catalogue import STAGES, TAG_FIELDS, AssetCard, Catalogue
from recommender.index.word_index import WordIndex

# Dead rows beyond this share are dropped by building everything anew.
_MOST_DEAD = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class AssetRow:
    """What one living asset contributes. Times are epoch seconds; `stage` float32 [4] sums to 1."""

    card: AssetCard
    approved: bool
    publish_at: float
    expires_at: float
    published_at: float
    stage: NDArray[np.float32]
    vector: NDArray[np.float32] | None
    change: int = 0  # the catalogue's revision at which this row came to be


@dataclass(frozen=True, slots=True, eq=False)
class LivingRows:
    """All living rows, side by side: what a snapshot keeps, and a builder can be filled with at once.

    `keys` are the `url_key`s. Arrays as in Catalogue; `change` int64 [N].
    """

    cards: Sequence[AssetCard]
    keys: Sequence[str]
    vectors: NDArray[np.float32]
    has_vector: NDArray[np.bool_]
    approved: NDArray[np.bool_]
    publish_at: NDArray[np.float64]
    expires_at: NDArray[np.float64]
    published_at: NDArray[np.float64]
    stage: NDArray[np.float32]
    change: NDArray[np.int64]


class _Column:
    """An array that grows by doubling; views of what was there stay valid because it is never rewritten."""

    def __init__(self, dtype: type, width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._data = np.zeros((256, *self._shape), dtype=dtype)
        self._length = 0

    def append(self, value: object) -> None:
        if self._length == len(self._data):
            grown = np.zeros((2 * len(self._data), *self._shape), dtype=self._data.dtype)
            grown[: self._length] = self._data
            self._data = grown
        self._data[self._length] = value
        self._length += 1

    def extend(self, values: NDArray[np.generic]) -> None:
        """Into an empty column, at once."""
        self._data = np.zeros((max(256, len(values)), *self._shape), dtype=self._data.dtype)
        self._data[: len(values)] = values
        self._length = len(values)

    def view(self) -> NDArray[np.generic]:
        view = self._data[: self._length]
        view.flags.writeable = False
        return view


class CatalogueBuilder:
    """Takes rows and removals; `publish` gives an immutable Catalogue. One thread at a time."""

    def __init__(self, dimension: int, model_id: str | None) -> None:
        self.dimension = dimension
        self.model_id = model_id
        self._cards: list[AssetCard] = []
        self._row_of: dict[str, int] = {}
        self._alive = _Column(np.bool_)
        self._dead: set[int] = set()
        # Shared with readers as it grows; an id found here may be gone, `row_of` decides.
        self.pages: dict[str, str] = {}
        self.words = WordIndex()  # likewise; read when somebody searches, or beside the requests
        self._sharing: dict[str, set[str]] = {}  # the assets of each page that has more than one
        self._vectors = _Column(np.float32, dimension)
        self._has_vector = _Column(np.bool_)
        self._approved = _Column(np.bool_)
        self._publish_at = _Column(np.float64)
        self._expires_at = _Column(np.float64)
        self._published_at = _Column(np.float64)
        self._stage = _Column(np.float32, len(STAGES))
        self._change = _Column(np.int64)
        self._keys: list[str] = []
        self._tag_rows: dict[str, dict[str, NDArray[np.int32]]] = {name: {} for name in TAG_FIELDS}
        self._new_tag_rows: dict[str, dict[str, list[int]]] = {name: {} for name in TAG_FIELDS}

    @property
    def needs_compaction(self) -> bool:
        return len(self._dead) > 1024 and len(self._dead) > _MOST_DEAD * len(self._cards)

    def remove(self, asset_id: str) -> None:
        row = self._row_of.pop(asset_id, None)
        if row is not None:
            self._dead.add(row)
            key = self._keys[row]
            others = self._sharing.get(key)
            if others is None:
                del self.pages[key]
                return
            others.remove(asset_id)
            self.pages[key] = min(others)
            if len(others) == 1:
                del self._sharing[key]

    def put(self, new: AssetRow) -> None:
        """Append the asset's new row; the one it had is dead from now on."""
        self.remove(new.card.asset_id)
        row = len(self._cards)
        self._row_of[new.card.asset_id] = row
        key = url_key(new.card.url)
        self._live_at(key, new.card.asset_id)
        self._cards.append(new.card)
        self._keys.append(key)
        usable = new.vector is not None and len(new.vector) == self.dimension
        self._vectors.append(new.vector if usable else 0.0)
        self._has_vector.append(usable)
        self._alive.append(True)
        self._approved.append(new.approved)
        self._publish_at.append(new.publish_at)
        self._expires_at.append(new.expires_at)
        self._published_at.append(new.published_at)
        self._stage.append(new.stage)
        self._change.append(new.change)
        self._tag(row, new.card)

    def _live_at(self, key: str, asset_id: str) -> None:
        first = self.pages.setdefault(key, asset_id)
        if first != asset_id:
            others = self._sharing.setdefault(key, {first})
            others.add(asset_id)
            self.pages[key] = min(others)

    def _tag(self, row: int, card: AssetCard) -> None:
        for name in TAG_FIELDS:
            for value in _values(card, name):
                self._new_tag_rows[name].setdefault(value, []).append(row)

    def renumbered(self) -> NDArray[np.int64]:
        """int64 [rows]: each row's place among the living ones, -1 for a dead one."""
        places = np.full(len(self._cards), -1, dtype=np.int64)
        living = np.sort(np.fromiter(self._row_of.values(), dtype=np.int64, count=len(self._row_of)))
        places[living] = np.arange(len(living))
        return places

    def living(self) -> LivingRows:
        """A copy of the living rows, in the order in which they came."""
        rows = np.flatnonzero(self.renumbered() >= 0)

        def taken(column: _Column) -> NDArray[Any]:
            return column.view()[rows]

        return LivingRows(
            cards=[self._cards[row] for row in rows],
            keys=[self._keys[row] for row in rows],
            vectors=taken(self._vectors),
            has_vector=taken(self._has_vector),
            approved=taken(self._approved),
            publish_at=taken(self._publish_at),
            expires_at=taken(self._expires_at),
            published_at=taken(self._published_at),
            stage=taken(self._stage),
            change=taken(self._change),
        )

    def fill(self, living: LivingRows) -> None:
        """Take all rows in at once; only an empty builder can, and `put` one by one gives the same."""
        if self._cards:
            raise ValueError("only an empty builder can be filled")
        self._cards, self._keys = list(living.cards), list(living.keys)
        self._row_of = {card.asset_id: row for row, card in enumerate(self._cards)}
        for column, values in (
            (self._vectors, living.vectors),
            (self._has_vector, living.has_vector),
            (self._alive, np.ones(len(self._cards), dtype=np.bool_)),
            (self._approved, living.approved),
            (self._publish_at, living.publish_at),
            (self._expires_at, living.expires_at),
            (self._published_at, living.published_at),
            (self._stage, living.stage),
            (self._change, living.change),
        ):
            column.extend(values)
        for asset_id, key in zip(self._row_of, self._keys, strict=True):
            self._live_at(key, asset_id)
        self._tag_rows = {name: _tagged(self._cards, name) for name in TAG_FIELDS}

    def publish(self, revision: int) -> Catalogue:
        alive = np.array(self._alive.view(), dtype=np.bool_)
        alive[list(self._dead)] = False
        for name, added in self._new_tag_rows.items():
            tagged = self._tag_rows[name]
            for value, rows in added.items():
                new = np.array(rows, dtype=np.int32)
                tagged[value] = np.concatenate([tagged[value], new]) if value in tagged else new
            added.clear()
        return Catalogue(
            revision=revision,
            model_id=self.model_id,
            cards=tuple(self._cards),
            row_of=dict(self._row_of),
            vectors=np.asarray(self._vectors.view(), dtype=np.float32),
            has_vector=np.asarray(self._has_vector.view(), dtype=np.bool_),
            alive=alive,
            approved=np.asarray(self._approved.view(), dtype=np.bool_),
            publish_at=np.asarray(self._publish_at.view(), dtype=np.float64),
            expires_at=np.asarray(self._expires_at.view(), dtype=np.float64),
            published_at=np.asarray(self._published_at.view(), dtype=np.float64),
            stage=np.asarray(self._stage.view(), dtype=np.float32),
            group=_groups(self._cards, self._row_of),
            tag_rows={name: dict(arrays) for name, arrays in self._tag_rows.items()},
        )


def _values(card: AssetCard, name: str) -> Sequence[str]:
    value = getattr(card, name)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _tagged(cards: Sequence[AssetCard], name: str) -> dict[str, NDArray[np.int32]]:
    """The rows that carry each value of a field, ascending. Assets with the same values go together."""
    if not cards:
        return {}  # splitting nothing gives one part of nothing
    number_of: dict[object, int] = {}
    sample: list[AssetCard] = []
    numbers = np.empty(len(cards), dtype=np.int64)
    for row, card in enumerate(cards):
        number = number_of.setdefault(getattr(card, name), len(sample))
        if number == len(sample):
            sample.append(card)
        numbers[row] = number
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    parts: dict[str, list[NDArray[np.int32]]] = {}
    ends = np.cumsum(np.bincount(numbers, minlength=len(sample)))
    for card, rows in zip(sample, np.split(order, ends[:-1]), strict=True):
        for value in _values(card, name):
            parts.setdefault(value, []).append(rows)
    return {value: np.sort(np.concatenate(rows)) for value, rows in parts.items()}


def _groups(cards: Sequence[AssetCard], row_of: dict[str, int]) -> NDArray[np.int32]:
    """int32 [N]: assets that are equivalent, directly or over others, share a number."""
    groups = np.arange(len(cards), dtype=np.int32)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    for asset_id, row in row_of.items():
        target = cards[row].equivalent_to
        if target is not None:
            first, second = sorted((root(asset_id), root(target)))
            if first != second:
                parent[second] = first
    # A form whose original is not here still shares a group with its siblings: a number past the rows.
    numbers: dict[str, int] = {}
    for name in {*parent, *parent.values()}:
        top = root(name)
        number = numbers.setdefault(top, row_of.get(top, len(cards) + len(numbers)))
        if name in row_of:
            groups[row_of[name]] = number
    return groups
