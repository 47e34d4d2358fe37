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


class LastUsed(Generic[K, V]):
    """Keeps what was made for the latest keys, told apart by identity. Making twice is harmless, so no
    lock.
    """

    def __init__(self, make: Callable[[K], V], size: int = 2) -> None:
        self._make, self._size = make, size
        self._kept: tuple[tuple[K, V], ...] = ()

    def __call__(self, key: K) -> V:
        for kept, value in self._kept:
            if kept is key:
                return value
        value = self._make(key)
        self._kept = ((key, value), *self._kept)[: self._size]
        return value


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


def _make_space(catalogue: Catalogue) -> TextSpace:
    n, dimension = catalogue.vectors.shape
    languages: dict[str, int] = {}
    language = np.array(
        [languages.setdefault(card.language or "", len(languages)) for card in catalogue.cards],
        dtype=np.int32,
    ).reshape(n)
    known = catalogue.has_vector & catalogue.alive
    count = int(known.sum())
    overall = np.zeros(dimension)
    means = np.zeros((max(1, len(languages)), dimension))
    if count:
        overall = catalogue.vectors[known].mean(axis=0, dtype=np.float64) * (
            count / (count + CATALOGUE_SHRINKAGE)
        )
        for index in languages.values():
            rows = np.flatnonzero(known & (language == index))
            own = len(rows) / (len(rows) + LANGUAGE_SHRINKAGE)
            mean = catalogue.vectors[rows].mean(axis=0, dtype=np.float64) if len(rows) else overall
            means[index] = own * mean * (count / (count + CATALOGUE_SHRINKAGE)) + (1 - own) * overall
    means32 = means.astype(np.float32)
    inverse = np.zeros(n, dtype=np.float32)
    for start in range(0, n, 8192):  # in pieces, so that a large catalogue isn't copied whole
        rows = np.arange(start, min(start + 8192, n))
        norms = np.linalg.norm(catalogue.vectors[rows] - means32[language[rows]], axis=1)
        inverse[rows] = np.where(catalogue.has_vector[rows] & (norms > 0), 1 / np.maximum(norms, 1e-6), 0.0)
    return TextSpace(languages, language, means32, inverse, overall.astype(np.float32))


text_space: LastUsed[Catalogue, TextSpace] = LastUsed(_make_space)
