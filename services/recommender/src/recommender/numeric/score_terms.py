"""The score terms of a block of buyers and candidates: each a number of 0 to 1, no weight applied yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import TERMS, RankingConfig
from recommender.numeric.asset_terms import ASSET_TERMS, asset_terms
from recommender.numeric.behaviour import AlignedBehaviour, Behaviour
from recommender.numeric.linked import Linked, Spoken
from recommender.numeric.tags import MISMATCHED, TagTable
from recommender.numeric.text_space import TextSpace

F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

QUERIES = ("recent", "long", "account", "context", "query")
TERM_INDEX = {term: i for i, term in enumerate(TERMS)}
QUERY_TERMS = np.array(
    [TERM_INDEX[t] for t in ("interest_recent", "interest_long", "interest_account", "context", "query")]
)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
ASSET_INDEX = [TERM_INDEX[term] for term in ASSET_TERMS]
UNPROVEN = TERM_INDEX["unproven"]
TOGETHER_HALF = 0.2
KINDRED_HALF = 0.5
TASTE_HALF = 0.1
LINKED_HALF = 0.2
LINKED_TEXT_HALF = 0.02
WORDS_HALF = 0.05
KINDRED_HALF_LIFE = 86_400.0

# Which content fits a state of the buyer (rows U, L, A, C, D, K, R) and which helps it to the next one;
# columns awareness, consideration, decision, customer. The dormant were aware once, so consideration may wake
# them; who is about to decide is helped most by what clinches it, and a little by what comes after.
FIT = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],
        [0.7, 0.3, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
NEXT = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],
        [0.3, 0.7, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.8, 0.2],
        [0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
FIT_AND_NEXT = np.concatenate([FIT, NEXT], axis=1)
STAGE_TERMS = slice(TERM_INDEX["stage_fit"], TERM_INDEX["progress"] + 1)  # the two stand together


@dataclass(frozen=True, slots=True, eq=False)
class BuyerInputs:
    """What the terms need to know of one buyer.

    `directions` float32 [q + E + padding, d]: q query vectors of unit norm, `asked` naming them by their
    place in QUERIES, then the E assets that the attention looks at, which weigh `attention` float32 [E].
    `stage` [7] or None; `language_share` [L]; `affinity` [tags]; `last_visit` epoch seconds or inf;
    `together`, `together_recent`, `walk`, `kindred` float64 [A + 1] by behaviour index, the last entry
    0; `spoken` what their engagements say of the assets in Behaviour.linked;
    `place` float32 [F], where the buyer lies among like-minded readers; `persona`, `industry` tag indices
    (see TagTable) or -1; `gap` [tags], 1 for personas the account has not been reached with.
    """

    directions: F32
    asked: tuple[int, ...]
    attention: F32
    stage: Floats | None
    language_share: Floats
    affinity: Floats
    last_visit: float
    together: Floats
    together_recent: Floats
    walk: Floats
    spoken: Spoken
    kindred: Floats
    place: F32
    persona: int
    industry: int
    gap: Floats


def score_terms(
    catalogue: Catalogue,
    space: TextSpace,
    tags: TagTable,
    behaviour: Behaviour,
    config: RankingConfig,
    buyers: Sequence[BuyerInputs],
    rows: Rows,
    now: float,
) -> Floats:
    """float64 [T, B, K] over TERMS for candidate rows int64 [B, K] (padding may be any valid row).

    Each buyer's figures are computed with the same shapes whatever B is, so that a batch gives exactly the
    answers of single requests; products of matrices of other shapes would round differently.
    """
    values = np.zeros((len(TERMS), *rows.shape))
    own, which = asset_block(catalogue, behaviour, config, rows, now)
    values[ASSET_INDEX] = spread(own, which, rows)
    unproven = values[UNPROVEN]
    buyer_terms(values, catalogue, space, tags, behaviour, config, buyers, rows, unproven)
    return values


def asset_block(
    catalogue: Catalogue, behaviour: Behaviour, config: RankingConfig, rows: Rows, now: float
) -> tuple[Floats, Rows | None]:
    """What speaks of the assets alone: float64 [S, n], and where in it each of `rows` [B, K] is found.

    A block with more candidates than there are assets has them computed once each; else the figures stand
    in the order of the candidates, and the second is None.
    """
    aligned = behaviour.aligned(catalogue)
    if rows.size > len(catalogue):
        every = np.arange(len(catalogue), dtype=np.int64)
        return asset_terms(catalogue, aligned, behaviour, config, every, now), rows
    flat = np.ascontiguousarray(rows).ravel()
    return asset_terms(catalogue, aligned, behaviour, config, flat, now), None


def spread(own: Floats, which: Rows | None, rows: Rows) -> Floats:
    """float64 [S, B, K] from what `asset_block` gives for `rows` [B, K]."""
    return own.reshape(-1, *rows.shape) if which is None else own.take(which, axis=1, mode="clip")


def buyer_terms(
    out: Floats,
    catalogue: Catalogue,
    space: TextSpace,
    tags: TagTable,
    behaviour: Behaviour,
    config: RankingConfig,
    buyers: Sequence[BuyerInputs],
    rows: Rows,
    unproven: Floats,
) -> None:
    """Write into `out` [≥ T, B, K] what speaks of buyer and asset; rows of `out` start as zeros."""
    aligned = behaviour.aligned(catalogue)
    # One buffer for all: a fresh one for each buyer would cost more in page faults than the product itself.
    gathered = np.empty((rows.shape[1], catalogue.vectors.shape[1]), dtype=np.float32)
    language, scale = space.language.take(rows), space.inverse_norm.take(rows)
    index, together = aligned.index.take(rows), aligned.together_index.take(rows)
    linked = behaviour.linked.places(catalogue).take(rows)
    for b, buyer in enumerate(buyers):
        if len(buyer.directions):
            np.take(catalogue.vectors, rows[b], axis=0, out=gathered, mode="clip")
            _text_terms(out[:, b], space, config, buyer, gathered, language[b], scale[b])
        _together_terms(out[:, b], aligned, buyer, rows[b], index[b], together[b])
        _linked_terms(out[:, b], behaviour.linked, buyer.spoken, linked[b])
        out[TERM_INDEX["language_match"], b] = buyer.language_share.take(language[b])
        if buyer.stage is not None:
            fits = catalogue.stage.take(rows[b], axis=0) @ (buyer.stage @ FIT_AND_NEXT).reshape(2, -1).T
            np.minimum(fits.T, 1.0, out=out[STAGE_TERMS, b])
    # Behaviour says nothing of an asset that hardly anyone has seen; what its text says counts apart.
    near = np.maximum(out[TERM_INDEX["interest_long"]], out[TERM_INDEX["interest_attention"]])
    np.multiply(near, unproven, out=out[TERM_INDEX["interest_unproven"]])
    _trait_terms(out, catalogue, tags, buyers, rows)


def _text_terms(
    out: Floats,
    space: TextSpace,
    config: RankingConfig,
    buyer: BuyerInputs,
    gathered: F32,
    language: NDArray[np.int32],
    scale: F32,
) -> None:
    """`gathered` float32 [K, d] are the candidates' vectors, `scale` [K] what makes them of unit norm once
    the mean of their `language` [K] is taken out.
    """
    directions, asked = np.ascontiguousarray(buyer.directions.T), len(buyer.asked)
    # Candidates last from here on: every step then runs along memory.
    cosine = np.ascontiguousarray((gathered @ directions).T)  # [Q, K]
    cosine -= (space.means @ directions).T.take(language, axis=1)
    cosine *= scale
    np.minimum(np.maximum(cosine, ZERO, out=cosine), ONE, out=cosine)
    for q, own in zip(buyer.asked, cosine, strict=False):
        out[QUERY_TERMS[q]] = own
    if len(buyer.attention):
        near = cosine[asked : asked + len(buyer.attention)]
        share = near - ONE
        share *= np.float32(1.0 / config.interest.attention_temperature)
        np.exp(share, out=share)
        share *= buyer.attention[:, None]
        total = np.maximum(share.sum(axis=0), np.float32(1e-30))
        share *= near
        np.minimum(share.sum(axis=0) / total, ONE, out=out[TERM_INDEX["interest_attention"]])


def _together_terms(
    out: Floats,
    aligned: AlignedBehaviour,
    buyer: BuyerInputs,
    rows: Rows,
    index: NDArray[np.int32],
    together: NDArray[np.int32],
) -> None:
    """`index` [K] and `together` [K]: where the candidates stand in behaviour; an unknown one's -1 finds the
    last entry of a strength, 0.
    """
    for term, strengths, place, half in (
        ("together", buyer.together, together, TOGETHER_HALF),
        ("together_recent", buyer.together_recent, together, TOGETHER_HALF),
        ("kindred", buyer.kindred, index, KINDRED_HALF),
    ):
        if len(strengths) > 1:
            raw = strengths.take(place)
            np.divide(raw, raw + half, out=out[TERM_INDEX[term]])
    if len(buyer.walk) > 1:
        out[TERM_INDEX["walk"]] = buyer.walk.take(together)
    if buyer.place.any():
        expected = aligned.taste.take(rows, axis=0) @ buyer.place
        np.maximum(expected, ZERO, out=expected)
        np.divide(expected, expected + np.float32(TASTE_HALF), out=out[TERM_INDEX["taste"]])


def _linked_terms(out: Floats, linked: Linked, spoken: Spoken, places: NDArray[np.int32]) -> None:
    """`places` int32 [K]: where the candidates stand in `linked`; an unknown one's -1 finds nobody's 0."""
    if len(spoken.links) > 1:
        own = np.maximum(spoken.links.take(places), ZERO)
        np.divide(own, own + np.float32(LINKED_HALF), out=out[TERM_INDEX["linked"]])
        near = np.maximum(linked.carried(spoken.links, places), ZERO)
        np.divide(near, near + np.float32(LINKED_TEXT_HALF), out=out[TERM_INDEX["linked_text"]])
    if len(spoken.words) > 1:
        alike = np.cbrt(spoken.words.take(places))
        np.divide(alike, alike + WORDS_HALF, out=out[TERM_INDEX["words"]])


def _trait_terms(
    out: Floats,
    catalogue: Catalogue,
    tags: TagTable,
    buyers: Sequence[BuyerInputs],
    rows: Rows,
) -> None:
    for b, buyer in enumerate(buyers):
        own = rows[b]
        carried = tags.of_row.take(own, axis=0)  # [K, MOST_TAGS]
        out[TERM_INDEX["tag_affinity"], b] = tags.mean(buyer.affinity, own, carried)
        if buyer.persona >= MISMATCHED:
            out[TERM_INDEX["role_match"], b] = tags.match("personas", buyer.persona).take(own)
        if buyer.industry >= MISMATCHED:
            out[TERM_INDEX["industry_match"], b] = tags.match("industries", buyer.industry).take(own)
        if buyer.gap.any():
            out[TERM_INDEX["group_gap"], b] = buyer.gap[carried].max(axis=1)
    visit = np.array([b.last_visit for b in buyers])
    out[TERM_INDEX["since_last_visit"]] = catalogue.published_at[rows] > visit[:, None]
