"""The plain methods that the ranking is measured against; each scores every asset for one buyer.

Written apart from the ranking's own code on purpose: a mistake in one should not flatter the other.
References: EASE, Steck 2019; implicit ALS, Hu, Koren & Volinsky 2008; item-kNN, Deshpande & Karypis 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
HOUR = 3_600.0
TRENDING_HOURS = (1.0, 3.0, 6.0, 12.0, 24.0, 96.0, 384.0, 2160.0)
LIMIT_FOR_DENSE = 6_000


def item_knn(matrix: sparse.csr_array, neighbours: int = 50, shrinkage: float = 10.0) -> F32:
    """float32 [N, N]: cosine of the columns of buyers × assets (ones), the best `neighbours` of each kept."""
    gram = np.asarray((matrix.T @ matrix).todense(), dtype=np.float64)
    count = np.diag(gram).copy()
    norm = np.sqrt(np.outer(count, count))
    similar = gram / np.maximum(norm, 1e-9) * (gram / (gram + shrinkage))
    np.fill_diagonal(similar, 0.0)
    if len(similar) > neighbours:
        edge = np.partition(similar, -neighbours, axis=0)[-neighbours]
        similar[similar < edge] = 0.0
    return similar.astype(np.float32)


def ease(matrix: sparse.csr_array, penalty: float = 200.0) -> F32:
    """float32 [N, N]: the item weights of EASE in closed form; a column without data is zero.

    By the textbook and apart from `link_learning`: a baseline that shared its code would share its mistakes.
    """
    gram = np.asarray((matrix.T @ matrix).todense(), dtype=np.float64)
    used = np.flatnonzero(np.diag(gram) > 0)
    weights = np.zeros(gram.shape, dtype=np.float32)
    if len(used):
        inner = gram[np.ix_(used, used)]
        inner[np.diag_indices_from(inner)] += penalty
        inverse = np.linalg.inv(inner)
        own = inverse / -np.diag(inverse)
        np.fill_diagonal(own, 0.0)
        weights[np.ix_(used, used)] = own.astype(np.float32)
    return weights


def als(
    matrix: sparse.csr_array, *, factors: int = 40, penalty: float = 5.0, alpha: float = 20.0, rounds: int = 8
) -> tuple[F32, Floats]:
    """Item factors float32 [N, F], and the gram part that folding a buyer in needs, float64 [F, F].

    Confidence 1 + alpha on what was engaged with, 1 elsewhere; alternating least squares from a fixed start.
    """
    rng = np.random.default_rng(0)
    people, items = matrix.shape
    by_person, by_item = matrix.tocsr(), matrix.T.tocsr()
    item = rng.normal(scale=0.05, size=(items, factors))
    person = np.zeros((people, factors))

    def solve(rows: sparse.csr_array, other: Floats, out: Floats) -> None:
        base = other.T @ other + penalty * np.eye(factors)
        for i in range(rows.shape[0]):
            own = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
            out[i] = fold_in(other[own], base, alpha) if len(own) else 0.0

    for _ in range(rounds):
        solve(by_person, item, person)
        solve(by_item, person, item)
    return item.astype(np.float32), item.T @ item + penalty * np.eye(factors)


def fold_in(own: Floats, base: Floats, alpha: float = 20.0) -> Floats:
    """float64 [F]: a buyer's factors from those of what they engaged with, float64 [E, F]."""
    solved: Floats = np.linalg.solve(base + alpha * own.T @ own, (1.0 + alpha) * own.sum(axis=0))
    return solved


def tfidf(texts: Sequence[str]) -> sparse.csr_array:
    """Rows of unit norm over words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import, and needed here alone

    found = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    return sparse.csr_array(found.astype(np.float32))


@dataclass(slots=True, eq=False)
class Counters:
    """Decayed counts of engagements [N, H], by hour constants of exp(−Δt / τ), brought along in time."""

    at: float
    counts: Floats
    total: Floats

    def add(self, row: int, now: float) -> None:
        self.bring_to(now)
        self.counts[row] += 1.0
        self.total[row] += 1.0

    def bring_to(self, now: float) -> None:
        if now > self.at:
            self.counts *= np.exp(-(now - self.at) / (HOUR * np.asarray(TRENDING_HOURS)))
            self.at = now


class Baselines:
    """Learns from a log as it goes by, and scores every asset for a buyer by each plain method."""

    def __init__(self, titles: Sequence[str], vectors: F32, published_at: Floats, seed: int = 0) -> None:
        n = len(titles)
        self._published_at = published_at
        self._rng = np.random.default_rng(seed)
        words = tfidf(titles)
        self._words, self._vectors = words, vectors
        self._words_alike = (words @ words.T).toarray() if n <= LIMIT_FOR_DENSE else None
        self.firsts = Counters(0.0, np.zeros((n, len(TRENDING_HOURS))), np.zeros(n))
        self.every = Counters(0.0, np.zeros((n, len(TRENDING_HOURS))), np.zeros(n))
        self._knn = self._ease = np.zeros((0, 0), dtype=np.float32)
        self._factors, self._base = np.zeros((0, 1), dtype=np.float32), np.eye(1)

    def learn(self, buyers: NDArray[np.int64], rows: Rows) -> None:
        """Fit the methods of engaged-together on distinct pairs of buyer and row."""
        _, people = np.unique(buyers, return_inverse=True)
        shape = (int(people.max()) + 1 if len(people) else 0, len(self._published_at))
        matrix = sparse.csr_array((np.ones(len(rows)), (people, rows)), shape=shape)
        self._knn, self._ease = item_knn(matrix), ease(matrix)
        self._factors, self._base = als(matrix)

    def scores(self, engaged: Rows, now: float) -> dict[str, NDArray[np.floating]]:
        """By method, one score an asset [N]; higher is better."""
        n = len(self._published_at)
        self.firsts.bring_to(now)
        self.every.bring_to(now)
        nothing = np.zeros(n)
        found: dict[str, NDArray[np.floating]] = {
            "random": self._rng.random(n),
            "newest": self._published_at,
            "popular": self.firsts.total,
        }
        for h, hours in enumerate(TRENDING_HOURS):
            name = f"{hours:g} h" if hours < 96 else f"{hours / 24:g} d"
            found[f"trending {name}"] = self.firsts.counts[:, h]
            found[f"trending {name}, every view"] = self.every.counts[:, h]
        if len(engaged):
            if self._words_alike is not None:
                found["TF-IDF profile"] = self._words_alike[engaged].sum(axis=0)
            else:
                found["TF-IDF profile"] = self._words @ np.asarray(self._words[engaged].sum(axis=0)).ravel()
            found["MiniLM profile"] = self._vectors @ self._vectors[engaged].sum(axis=0)
        else:
            found |= {"TF-IDF profile": nothing, "MiniLM profile": nothing}
        for name, weights in (("item-kNN", self._knn), ("EASE", self._ease)):
            found[name] = weights[engaged].sum(axis=0) if len(engaged) and len(weights) else nothing
        if len(engaged) and len(self._factors):
            found["implicit ALS"] = self._factors @ fold_in(
                self._factors[engaged].astype(np.float64), self._base
            )
        else:
            found["implicit ALS"] = nothing
        return found
