"""Text vectors with the mean of their language taken out, so that languages don't cluster; one space a
catalogue.

A centred vector is (x − m) / ‖x − m‖, m being the mean vector of the asset's language, shrunk towards the
mean of all where a language has few assets, and towards nothing where the catalogue is small. Centred vectors
are not stored: (x − m)·q is x·q − m·q, so raw vectors and their index serve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue

F32 = NDArray[np.float32]
LANGUAGE_SHRINKAGE = 20.0
CATALOGUE_SHRINKAGE = 50.0

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Keeps what was made for the latest keys, told apart by identity. Making twice is harmless, so no lock.

    An object keeps what is made of it in one of these and says each time how: if it gave its own method to a
    `LastUsed`, the two would hold one another, and with them whole catalogues, until the collector comes by.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._kept: tuple[tuple[K, V], ...] = ()

    def of(self, key: K, make: Callable[[K], V]) -> V:
        for kept, value in self._kept:
            if kept is key:
                return value
        value = make(key)
        self._kept = ((key, value), *self._kept)[: self._size]
        return value


class LastUsed(Kept[K, V]):
    """The same for a function of a module."""

    def __init__(self, make: Callable[[K], V], size: int = 2) -> None:
        super().__init__(size)
        self._make = make

    def __call__(self, key: K) -> V:
        return self.of(key, self._make)


class Grown(Generic[V]):
    """Keeps what was made for the latest catalogue and makes the next one's from it: rows are only added."""

    def __init__(self, make: Callable[[Catalogue, tuple[int, V] | None], V]) -> None:
        self._make = make
        self._kept: tuple[tuple[Catalogue, V], ...] = ()

    def __call__(self, catalogue: Catalogue) -> V:
        """`make` gets the catalogue and (rows of the former one, what was made for it), or None when the
        catalogue is not the former one grown.
        """
        for kept, value in self._kept:
            if kept is catalogue:
                return value
        former = None
        if self._kept and _is_grown(catalogue, self._kept[0][0]):
            former = len(self._kept[0][0]), self._kept[0][1]
        value = self._make(catalogue, former)
        self.keep(catalogue, value)
        return value

    def keep(self, catalogue: Catalogue, value: V) -> None:
        """Have this value for the catalogue from now on."""
        self._kept = ((catalogue, value), *(k for k in self._kept if k[0] is not catalogue))[:2]


def _is_grown(catalogue: Catalogue, former: Catalogue) -> bool:
    """Whether the former's rows stand in front, unchanged: the same cards, by identity, first and last."""
    n = len(former)
    return 0 < n <= len(catalogue) and all(catalogue.cards[i] is former.cards[i] for i in (0, n // 2, n - 1))


@dataclass(frozen=True, slots=True, eq=False)
class TextSpace:
    """`language` int32 [N], index into `languages`; `means` float32 [L, d]; `inverse_norm` float32 [N]."""

    languages: dict[str, int]
    language: NDArray[np.int32]
    means: F32
    inverse_norm: F32
    overall: F32  # [d], for texts whose language is not known

    def centred(self, catalogue: Catalogue, rows: NDArray[np.int64]) -> F32:
        """float32 [len(rows), d], unit norm (zeros where there is no vector)."""
        centred: F32 = catalogue.vectors[rows] - self.means[self.language[rows]]
        centred *= self.inverse_norm[rows, None]
        return centred

    def centred_text(self, vector: F32, language: str | None) -> F32:
        """float32 [d]: the same for a vector that is not in the catalogue."""
        index = self.languages.get(language or "", -1)
        centred = vector - (self.means[index] if index >= 0 else self.overall)
        norm = float(np.linalg.norm(centred))
        return (centred / np.float32(norm) if norm > 0 else centred).astype(np.float32)


def _make_space(
    catalogue: Catalogue,
    former: tuple[int, TextSpace] | None,
    heard: NDArray[np.bool_] | None = None,
) -> TextSpace:
    n = len(catalogue)
    start, languages, parts = 0, {}, []
    if former is not None:
        start, languages, parts = former[0], dict(former[1].languages), [former[1].language]
    added = [languages.setdefault(card.language or "", len(languages)) for card in catalogue.cards[start:]]
    language = np.concatenate([*parts, np.array(added, dtype=np.int32)])
    known = catalogue.has_vector & (catalogue.alive if heard is None else heard)
    # One row a language, 1 where a known asset is of it: the sums are one product, nothing is copied.
    members = np.zeros((max(1, len(languages)), n), dtype=np.float32)
    members[language, np.arange(n)] = known
    counts = members.sum(axis=1, dtype=np.float64)
    sums = (members @ catalogue.vectors).astype(np.float64)
    count = float(counts.sum())
    shrunk = count / (count + CATALOGUE_SHRINKAGE) if count else 0.0
    overall = sums.sum(axis=0) / max(1.0, count) * shrunk
    own = (counts / (counts + LANGUAGE_SHRINKAGE))[:, None]
    means = own * (sums / np.maximum(1.0, counts)[:, None]) * shrunk + (1 - own) * overall
    means32 = means.astype(np.float32)
    # ‖x − m‖² = ‖x‖² − 2 x·m + ‖m‖², and vectors are of unit norm.
    products = (catalogue.vectors @ means32.T)[np.arange(n), language].astype(np.float64)
    norms = np.sqrt(np.maximum(0.0, 1.0 - 2.0 * products + (means**2).sum(axis=1)[language]))
    inverse = np.where(catalogue.has_vector & (norms > 1e-6), 1 / np.maximum(norms, 1e-6), 0.0)
    return TextSpace(languages, language, means32, inverse.astype(np.float32), overall.astype(np.float32))


text_space: Grown[TextSpace] = Grown(_make_space)


def take_means_from(catalogue: Catalogue, heard: NDArray[np.bool_]) -> None:
    """Let `text_space` of this catalogue read its means from these rows bool [N] alone: a replay of the past
    must not read them from texts that were yet to come.
    """
    text_space.keep(catalogue, _make_space(catalogue, None, heard))
