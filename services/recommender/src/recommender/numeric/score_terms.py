"""The score terms of a block of buyers and candidates: each a number of 0 to 1, no weight applied yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import POPULARITY_TERMS, TERMS, RankingConfig
from recommender.numeric.behaviour import AlignedBehaviour, Behaviour
from recommender.numeric.tags import MISMATCHED, TagTable
from recommender.numeric.text_space import TextSpace

DAY = 86_400.0
F32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

QUERIES = ("recent", "long", "account", "context", "query")
TERM_INDEX = {term: i for i, term in enumerate(TERMS)}
POPULARITY_GRAIN, POPULARITY_CEILING = 20.0, 1e4
TOGETHER_HALF = 0.2
KINDRED_HALF = 0.5
TASTE_HALF = 0.1
PROVEN_BUYERS = 3.0
KINDRED_HALF_LIFE = DAY
LOG_HOURS = 10.0  # e^10 hours, two and a half years, are as good as for ever

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


@dataclass(frozen=True, slots=True, eq=False)
class BuyerInputs:
    """What the terms need to know of one buyer.

    `queries` float32 [5, d] in the order of QUERIES, zeros where there is none; `attended` float32 [E, d]
    with `attention` [E]; `stage` [7] or None; `language_share` [L]; `affinity` [tags]; `last_visit` epoch
    seconds or inf; `together`, `together_recent`, `kindred` float64 [A + 1] by behaviour index, the last
    entry 0; `persona`, `industry` tag indices (see TagTable) or -1; `gap` [tags], 1 for personas the
    account has not been reached with.
    """

    queries: F32
    attended: F32
    attention: Floats
    stage: Floats | None
    language_share: Floats
    affinity: Floats
    last_visit: float
    together: Floats
    together_recent: Floats
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
    aligned = behaviour.aligned(catalogue)
    values = np.zeros((len(TERMS), *rows.shape))
    # One buffer for all: a fresh one for each buyer would cost more in page faults than the product itself.
    gathered = np.empty((rows.shape[1], catalogue.vectors.shape[1]), dtype=np.float32)
    for b, buyer in enumerate(buyers):  # products of matrices, one buyer at a time
        _text_terms(values[:, b], catalogue, space, config, buyer, rows[b], gathered)
    _stage_terms(values, catalogue, buyers, rows)
    _together_terms(values, aligned, behaviour, buyers, rows)
    _trait_terms(values, catalogue, space, tags, buyers, rows)
    _shared_terms(values, catalogue, aligned, behaviour, config, rows, now)
    return values


def _text_terms(
    out: Floats,
    catalogue: Catalogue,
    space: TextSpace,
    config: RankingConfig,
    buyer: BuyerInputs,
    rows: Rows,
    gathered: F32,
) -> None:
    if not (buyer.queries.any() or buyer.attention.any()):
        return
    directions = np.ascontiguousarray(np.concatenate([buyer.queries, buyer.attended]).T)  # [d, Q]
    language = space.language[rows]
    np.take(catalogue.vectors, rows, axis=0, out=gathered, mode="clip")
    cosine = gathered @ directions  # [K, Q]
    cosine -= (space.means @ directions)[language]
    cosine *= space.inverse_norm[rows, None]
    np.clip(cosine, 0.0, 1.0, out=cosine)
    n = len(QUERIES)
    out[TERM_INDEX["interest_recent"]] = cosine[:, 0]
    out[TERM_INDEX["interest_long"]] = cosine[:, 1]
    out[TERM_INDEX["interest_account"]] = cosine[:, 2]
    out[TERM_INDEX["context"]] = cosine[:, 3]
    out[TERM_INDEX["query"]] = cosine[:, 4]
    if buyer.attention.any():
        near = cosine[:, n:].astype(np.float64)
        share = buyer.attention * np.exp((near - 1.0) / config.interest.attention_temperature)
        total = share.sum(axis=1)
        weighted = (share * near).sum(axis=1)
        out[TERM_INDEX["interest_attention"]] = weighted / np.maximum(total, 1e-300)


def _stage_terms(out: Floats, catalogue: Catalogue, buyers: Sequence[BuyerInputs], rows: Rows) -> None:
    if all(buyer.stage is None for buyer in buyers):
        return
    content = catalogue.stage[rows].astype(np.float64)  # [B, K, 4]
    for term, matrix in (("stage_fit", FIT), ("progress", NEXT)):
        wanted = np.stack([np.zeros(4) if b.stage is None else b.stage @ matrix for b in buyers])
        value = np.zeros(rows.shape)
        for s in range(content.shape[2]):  # added in one order, whatever the block
            value += content[:, :, s] * wanted[:, s, None]
        out[TERM_INDEX[term]] = np.clip(value, 0.0, 1.0)


def _together_terms(
    out: Floats, aligned: AlignedBehaviour, behaviour: Behaviour, buyers: Sequence[BuyerInputs], rows: Rows
) -> None:
    who = np.arange(len(buyers))[:, None]
    for term, index, half in (
        ("together", aligned.together_index, TOGETHER_HALF),
        ("together_recent", aligned.together_index, TOGETHER_HALF),
        ("kindred", aligned.index, KINDRED_HALF),
    ):
        speaks = [getattr(buyer, term) for buyer in buyers]
        size = max(len(one) for one in speaks)
        if size > 1:
            nothing = np.zeros(size)
            raw = np.stack([one if len(one) > 1 else nothing for one in speaks])[who, index[rows]]
            out[TERM_INDEX[term]] = raw / (raw + half)
    factors, index = behaviour.kindred.assets, aligned.index[rows]
    if len(factors) and any(buyer.place.any() for buyer in buyers):
        known = (index >= 0) & (index < len(factors))
        places = np.stack([buyer.place for buyer in buyers])[:, :, None]
        expected = np.matmul(factors[np.where(known, index, 0)], places)[:, :, 0].astype(np.float64)
        expected = np.maximum(0.0, np.where(known, expected, 0.0))
        out[TERM_INDEX["taste"]] = expected / (expected + TASTE_HALF)


def _trait_terms(
    out: Floats,
    catalogue: Catalogue,
    space: TextSpace,
    tags: TagTable,
    buyers: Sequence[BuyerInputs],
    rows: Rows,
) -> None:
    who = np.arange(len(buyers))[:, None]
    out[TERM_INDEX["language_match"]] = np.stack([b.language_share for b in buyers])[
        who, space.language[rows]
    ]
    carried = tags.of_row[rows]  # [B, K, MOST_TAGS]
    out[TERM_INDEX["tag_affinity"]] = tags.mean(np.stack([b.affinity for b in buyers]), rows, carried)
    for term, field in (("role_match", "personas"), ("industry_match", "industries")):
        wanted = np.array([getattr(b, "persona" if term == "role_match" else "industry") for b in buyers])
        if (wanted >= MISMATCHED).any():
            out[TERM_INDEX[term]] = tags.match(field, wanted, rows, carried)
    for b, buyer in enumerate(buyers):
        if buyer.gap.any():
            out[TERM_INDEX["group_gap"], b] = buyer.gap[carried[b]].max(axis=1)
    visit = np.array([b.last_visit for b in buyers])
    out[TERM_INDEX["since_last_visit"]] = catalogue.published_at[rows] > visit[:, None]


def _shared_terms(
    out: Floats,
    catalogue: Catalogue,
    aligned: AlignedBehaviour,
    behaviour: Behaviour,
    config: RankingConfig,
    rows: Rows,
    now: float,
) -> None:
    quality = config.quality
    shown, clicked = aligned.impressions[rows], aligned.clicks[rows]
    rate = (clicked + quality.prior_click_rate * quality.prior_impressions) / (
        shown + quality.prior_impressions
    )
    # A rate at the prior is worth one half, three times the prior three quarters.
    out[TERM_INDEX["quality"]] = (
        rate / (rate + quality.prior_click_rate) if quality.prior_click_rate else rate
    )
    age = np.maximum(0.0, now - catalogue.published_at[rows]) / DAY
    out[TERM_INDEX["fresh_day"]] = np.exp2(-age / config.freshness.day_half_life_days)
    out[TERM_INDEX["fresh_month"]] = np.exp2(-age / config.freshness.month_half_life_days)
    out[TERM_INDEX["newness"]] = _lately(now - catalogue.published_at[rows])
    out[TERM_INDEX["just_read"]] = _lately(now - aligned.last_engaged_at[rows])
    # Behaviour says nothing of an asset that hardly anyone has seen; what its text says counts apart.
    unproven = np.maximum(0.0, 1.0 - aligned.buyers[rows] / PROVEN_BUYERS)
    near = np.maximum(out[TERM_INDEX["interest_long"]], out[TERM_INDEX["interest_attention"]])
    out[TERM_INDEX["interest_unproven"]] = near * unproven
    popularity = aligned.popularity[rows]  # [B, K, H]
    elapsed = max(0.0, now - behaviour.as_of)
    top = np.log1p(POPULARITY_GRAIN * POPULARITY_CEILING)
    for h, (term, half_life) in enumerate(zip(POPULARITY_TERMS, behaviour.half_lives, strict=True)):
        decayed = popularity[:, :, h] * np.exp2(-elapsed / half_life)
        out[TERM_INDEX[term]] = np.minimum(1.0, np.log1p(POPULARITY_GRAIN * decayed) / top)


def _lately(seconds: Floats) -> Floats:
    """1 for just now, 0 for for ever ago or never, falling with the logarithm of the hours since."""
    hours = np.maximum(0.0, seconds) / 3_600.0
    lately: Floats = np.clip(1.0 - np.log1p(hours) / LOG_HOURS, 0.0, 1.0)
    return lately
