"""Learns what engagements with several assets together say of another: a linear model, texts included.

EASE (Steck 2019) finds, for each asset, the weights of all others by which who engaged with it is told best.
Three things are added. Each word of a text, and each direction of its meaning, stands as one more reader
(collective EASE: Jeunen, Van Balen & Goethals 2020), so that an asset that few have engaged with has weights
too. A buyer of many assets says less of each. And popular assets are scaled down, lest they explain
everything. What is learnt of assets that many engaged with is carried to others by how near their texts are.
The inverse is of one matrix assets × assets, so only the assets that most engaged with take part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from recommender.domain.catalogue import AssetCard, Catalogue
from recommender.numeric.linked import F32, Floats, Linked, Rows, no_links, without_texts
from recommender.numeric.text_space import text_space
from recommender.numeric.together import strongest

MOST_LINKED = 2_500
LEAST_LINKED = 3
NEAREST = 20
NEAR_WITHIN, PROMISE_WITHIN = 0.1, 0.15
"""A text counts e times less for each so much of cosine that it is further away."""
MOST_WORDS, LEAST_WORDS = 100, 1e-3
"""Of the cubes of how alike texts are in words so many are kept for each, none that is less."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """`penalty` of the weights; how much a text's `words` and `meaning` count beside its readers; powers by
    which a buyer counts less the more they read, and an asset the more read it.
    """

    penalty: float = 120.0
    words: float = 4.0
    meaning: float = 1.2
    reader_power: float = 0.5
    popularity_power: float = 0.15


def learn_links(
    buyer: Rows,
    asset: NDArray[np.int32],
    names: tuple[str, ...],
    catalogue: Catalogue | None,
    now: float,
    settings: LinkSettings | None = None,
) -> Linked:
    """Fit on distinct pairs of buyer and asset (index into `names`), and the texts of `catalogue`, if given.

    Of assets that nobody engaged with those take part whose text is known and that were published by `now`
    (epoch seconds), the newest first, as far as MOST_LINKED leaves room.
    """
    settings = settings or LinkSettings()
    read = np.bincount(asset, minlength=len(names))
    order = np.argsort(-read, kind="stable")[:MOST_LINKED]
    chosen = [names[i] for i in order if read[i]]
    if catalogue is not None:
        chosen += _unread(catalogue, set(chosen), now)[: MOST_LINKED - len(chosen)]
    if len(chosen) < LEAST_LINKED or not len(buyer):
        return no_links()
    place_of = {name: i for i, name in enumerate(chosen)}
    place = np.array([place_of.get(name, -1) for name in names], dtype=np.int64)[asset]
    gram, popular = _gram(buyer[place >= 0], place[place >= 0], len(chosen), settings)
    if catalogue is None:
        return without_texts(tuple(chosen), _unscaled(_weights(gram, settings), popular))
    near, words, known = _texts_alike(chosen, catalogue)
    gram += np.float32(settings.meaning) * near
    gram += np.float32(settings.words) * words.toarray()
    weights = _unscaled(_weights(gram, settings), popular)
    readers = np.array([read[i] for i in order if read[i]] + [0] * len(chosen))[: len(chosen)]
    words.data **= 3
    words.setdiag(0.0)
    words.data[words.data < LEAST_WORDS] = 0.0
    words.eliminate_zeros()
    return Linked(
        tuple(chosen),
        weights,
        strongest(sparse.csr_array(words), MOST_WORDS),
        *_nearest(near, known),
        _promise(near, known, readers),
    )


def _unread(catalogue: Catalogue, read: set[str], now: float) -> list[str]:
    """Assets with a text and no reader, newest first."""
    rows = np.flatnonzero(catalogue.alive & catalogue.has_vector & (catalogue.publish_at <= now))
    rows = rows[np.argsort(-catalogue.published_at[rows], kind="stable")]
    return [a for r in rows[: 2 * MOST_LINKED] if (a := catalogue.cards[r].asset_id) not in read]


def _gram(buyer: Rows, place: Rows, size: int, settings: LinkSettings) -> tuple[F32, F32]:
    """float32 [M, M], how often each two were engaged with by the same buyers, scaled; and each one's scale
    [M].
    """
    _, people = np.unique(buyer, return_inverse=True)
    count = np.bincount(people).astype(np.float64)
    share = count**-settings.reader_power
    share *= count.sum() / (share @ count)
    popular = np.maximum(1.0, np.bincount(place, minlength=size)) ** -settings.popularity_power
    values = np.sqrt(share)[people] * popular[place]
    matrix = sparse.csr_array((values.astype(np.float32), (people, place)), shape=(len(count), size))
    gram: F32 = np.asarray((matrix.T @ matrix).toarray(), dtype=np.float32)
    return gram, popular.astype(np.float32)


def _unscaled(weights: F32, popular: F32) -> F32:
    """Weights of what was scaled by `popular` [M], for what is not."""
    weights *= popular[:, None]
    weights /= popular[None, :]
    return weights


def _weights(gram: F32, settings: LinkSettings) -> F32:
    """float32 [M, M]: EASE in closed form, −P_ij / P_jj of the inverse P, by Cholesky's factors. LAPACK is
    called directly, since numpy's inverse takes three times as much work for a matrix that is not symmetric.
    """
    gram[np.diag_indices_from(gram)] += np.float32(settings.penalty)
    factor, failed = lapack.spotrf(gram.T, lower=0, clean=1, overwrite_a=1)
    inverse, undone = lapack.spotri(factor, lower=0, overwrite_c=1)
    if failed or undone:
        raise np.linalg.LinAlgError("the matrix of what was engaged with together is not positive definite")
    upper = np.triu(inverse, 1)
    own = np.diag(inverse).copy()
    weights: F32 = upper + upper.T
    weights /= -own[None, :]
    return weights


def _texts_alike(chosen: list[str], catalogue: Catalogue) -> tuple[F32, sparse.csr_matrix, NDArray[np.bool_]]:
    """How alike the texts are in meaning, float32 [M, M], and in words, float32 CSR [M, M], both cosines; and
    bool [M], whether there is a vector.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import, and needed here alone

    rows = np.array([catalogue.row_of.get(a, -1) for a in chosen], dtype=np.int64)
    texts = [words_of(catalogue.cards[r]) if r >= 0 else "" for r in rows]
    listed = np.flatnonzero(rows >= 0)
    vectors = np.zeros((len(chosen), catalogue.vectors.shape[1]), dtype=np.float32)
    vectors[listed] = text_space(catalogue).centred(catalogue, rows[listed])
    near: F32 = vectors @ vectors.T
    try:
        counted = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(texts).astype(np.float32)
    except ValueError:  # no word stands in two texts
        counted = sparse.csr_matrix(np.zeros((len(chosen), 1), dtype=np.float32))
    return near, sparse.csr_matrix(counted @ counted.T), np.diag(near) > 0


def _nearest(near: F32, known: NDArray[np.bool_]) -> tuple[NDArray[np.int32], F32]:
    """`near` and `nearness` of Linked from cosines [M, M]."""
    size = len(near)
    count = min(NEAREST, size - 1)
    kernel = np.exp((near - np.float32(1.0)) / np.float32(NEAR_WITHIN))
    np.fill_diagonal(kernel, 0.0)
    columns = np.argpartition(-kernel, count - 1, axis=1)[:, :count]
    strength = np.take_along_axis(kernel, columns, axis=1) * known[:, None]
    strength /= np.maximum(strength.sum(axis=1, keepdims=True), np.float32(1e-12))
    nobody = np.full((1, count), -1), np.zeros((1, count))
    return (
        np.concatenate([columns, nobody[0]]).astype(np.int32),
        np.concatenate([strength, nobody[1]]).astype(np.float32),
    )


def _promise(near: F32, known: NDArray[np.bool_], readers: NDArray[np.int64]) -> Floats:
    """float64 [M + 1]: the mean of log(1 + readers) over all other texts by their nearness, the most that
    any asset has being 1.
    """
    kernel = np.exp((near - np.float32(1.0)) / np.float32(PROMISE_WITHIN))
    np.fill_diagonal(kernel, 0.0)
    height = np.log1p(readers)
    mean = (kernel @ height.astype(np.float32)) / np.maximum(kernel.sum(axis=1), np.float32(1e-12))
    promise = known * mean / max(float(height.max()), 1e-12)
    return np.append(promise, 0.0).astype(np.float64)


def words_of(card: AssetCard) -> str:
    """Title, summary, topics and the words of the address, the host as one of them."""
    address = urlsplit(card.url)
    path = " ".join(re.findall(r"[^\W\d_]{3,}", address.path))
    host = address.netloc.removeprefix("www.").replace(".", "_")
    return " ".join((card.title, card.summary or "", *card.topics, path, host))
