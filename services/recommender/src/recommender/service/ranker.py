"""Recommends for a block of buyers, and explains one asset: candidates → score → rerank → reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import TERMS, RankingConfig
from recommender.domain.ranking_request import (
    NO_RULES,
    Explanation,
    PlacementRules,
    RankedAnswer,
    RankedAsset,
    RankRequest,
)
from recommender.numeric.behaviour import Behaviour
from recommender.numeric.candidates import VectorSearch
from recommender.numeric.ranking import ALL_TERMS, DIVERSITY, RULE
from recommender.numeric.reasons import MOST_REASONS, reasons_again, reasons_for
from recommender.numeric.rerank import choose, pool_size
from recommender.numeric.selection import top
from recommender.numeric.together import entry_keys
from recommender.service.ranking_inputs import Prepared, Scene, set_scene
from recommender.service.ranking_score import Pools, Scored, find_candidates, prepare_all, score

__all__ = [
    "NO_RULES",
    "Explanation",
    "PlacementRules",
    "RankRequest",
    "RankedAnswer",
    "RankedAsset",
    "explain",
    "recommend_block",
]

Floats = NDArray[np.float64]
CHUNK = 32
"""Buyers worked on at once; bounds memory, changes no answer."""

EXCLUSIONS = {
    "unknown": "There is no such asset",
    "not_eligible": "It is not approved, not yet published, expired or archived",
    "filtered": "The request's filter leaves it out",
    "rule": "A rule of this placement leaves it out",
    "excluded": "The request excludes it",
    "seen": "This buyer has already engaged with it",
    "equivalent_seen": "This buyer has engaged with the same content in another form",
    "context": "It is the page they are on",
    "capped": "It was shown to this buyer too often without an answer",
}


def recommend_block(
    catalogue: Catalogue,
    search: VectorSearch,
    behaviour: Behaviour,
    config: RankingConfig,
    requests: Sequence[RankRequest],
    now: float,
) -> list[RankedAnswer]:
    """One answer for each request, in order; a block gives exactly what single requests would.

    `now`: epoch seconds. Raises ValueError for a goal that the configuration lacks.
    """
    scene = set_scene(catalogue, behaviour, config, now)
    pools = Pools(scene)
    answers: list[RankedAnswer] = []
    for start in range(0, len(requests), CHUNK):
        prepared = prepare_all(scene, requests[start : start + CHUNK])
        found = find_candidates(scene, search, pools, prepared)
        scored = score(scene, pools, prepared, found, width=config.candidates.width)
        answers += [_answer(scene, pools, p, s) for p, s in zip(prepared, scored, strict=True)]
    return answers


def _answer(scene: Scene, pools: Pools, buyer: Prepared, scored: Scored) -> RankedAnswer:
    request, config = buyer.request, scene.config
    warnings = _warnings(scene, request)
    rules = request.rules
    wanted = pool_size(request.count, config.rerank, len(scored.rows))
    best = top(scored.score, len(scored.rows) if rules.limits_kinds else wanted)
    first = (*rules.pin, *rules.static) if buyer.tier == "static" else rules.pin
    pins = [row for a in dict.fromkeys(first) if (row := scene.catalogue.row_of.get(a)) is not None]
    if pins:
        places = {int(row): i for i, row in enumerate(scored.rows)}
        pinned = [places[row] for row in pins if row in places]
        best = np.array([*pinned, *(p for p in best if p not in set(pinned))], dtype=np.int64)
    else:
        pinned = []
    rows = scored.rows[best]
    chosen = choose(
        scored.score[best],
        scene.space.centred(scene.catalogue, rows),
        scene.catalogue.group[rows],
        scene.tags.type_of_row[rows],
        request.count,
        config.rerank,
        pinned=range(len(pinned)),
        most_of_kind=rules.most_of_type,
        quotas=[(pools.mask(of)[rows], most) for of, most in rules.quotas],
        unexplored=-scene.aligned.impressions[rows] - scene.aligned.buyers[rows],
        seed=request.seed,
    )
    if len(chosen.positions) < request.count:
        have = len(chosen.positions)
        warnings.append(("fewer_than_asked", f"Only {have} of {request.count} assets may be shown here"))
    middling = scored.parts.mean(axis=1) if len(scored.rows) else np.zeros(len(ALL_TERMS))
    items = []
    ceiling = float(scored.score.max()) if len(scored.score) else 0.0
    for rank, (position, penalty, chance) in enumerate(
        zip(chosen.positions, chosen.penalty, chosen.propensity, strict=True), start=1
    ):
        at = int(best[position])
        parts = scored.parts[:, at].copy()
        parts[DIVERSITY] = penalty
        if position < len(pinned):  # lifted above whatever else there is, so that scores keep the order
            parts[RULE] += ceiling - float(scored.score[at]) + float(len(pinned) - position)
        terms = _named(parts)
        items.append(
            RankedAsset(
                asset_id=scene.catalogue.cards[int(scored.rows[at])].asset_id,
                rank=rank,
                score=_added(terms),
                terms=terms,
                reasons=_reasons(scene, buyer, scored, at, middling),
                propensity=chance,
            )
        )
    return RankedAnswer(tuple(items), buyer.tier, tuple(warnings))


def _added(terms: Mapping[str, float]) -> float:
    """One after the other, as the score itself is added up."""
    score = 0.0
    for part in terms.values():
        score += part
    return score


def _named(parts: Floats) -> Mapping[str, float]:
    return dict(zip(ALL_TERMS, parts.tolist(), strict=True))


def _warnings(scene: Scene, request: RankRequest) -> list[tuple[str, str]]:
    context = request.context_asset_id
    if context is not None and context not in scene.catalogue.row_of:
        return [("context_unknown", "The context's asset is not in the catalogue; it was left aside")]
    return []


def _reasons(
    scene: Scene, buyer: Prepared, scored: Scored, at: int, middling: Floats
) -> tuple[tuple[str, str], ...]:
    row = int(scored.rows[at])
    request = buyer.request
    pinned = request.rules.pin and scene.catalogue.cards[row].asset_id in request.rules.pin
    if pinned:
        return (("pinned", "Set for this place by the content team"),)
    context = scene.catalogue.row_of.get(request.context_asset_id) if request.context_asset_id else None
    used = reasons_again(scene.catalogue, row, buyer.again[row]) if row in buyer.again else ()
    return (
        *used,
        *reasons_for(
            scene.catalogue,
            row,
            (scored.parts[:, at] - middling)[: len(TERMS)],
            interest=buyer.interest,
            together=_speakers(scene, buyer, row),
            stage=buyer.inputs.stage,
            context_title=scene.catalogue.cards[context].title if context is not None else None,
            persona=request.persona,
            industry=request.industry,
        ),
    )[:MOST_REASONS]


def _speakers(scene: Scene, buyer: Prepared, row: int) -> list[tuple[int, float]]:
    """Engaged rows that speak for `row` by being engaged together with it, the strongest first."""
    matrix, index = scene.behaviour.together, scene.aligned.together_index
    target = int(index[row])
    if target < 0 or not len(buyer.interest.rows):
        return []
    own = index[buyer.interest.rows].astype(np.int64)
    wanted = own * matrix.shape[0] + target
    keys = entry_keys(matrix)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1) if len(keys) else np.zeros_like(wanted)
    found = np.flatnonzero((own >= 0) & (keys[place] == wanted)) if len(keys) else np.empty(0, dtype=np.int64)
    strengths = [
        (int(buyer.interest.rows[i]), float(matrix.data[place[i]] * buyer.interest.long[i])) for i in found
    ]
    return sorted(strengths, key=lambda s: (-s[1], s[0]))


def explain(
    catalogue: Catalogue,
    search: VectorSearch,
    behaviour: Behaviour,
    config: RankingConfig,
    request: RankRequest,
    asset_id: str,
    now: float,
) -> Explanation:
    """Why an asset is or is not in the answer to `request`: each exclusion, each term, the rank it would
    have.
    """
    scene = set_scene(catalogue, behaviour, config, now)
    pools = Pools(scene)
    (prepared,) = prepare_all(scene, [request])
    row = catalogue.row_of.get(asset_id)
    if row is None:
        why = (("unknown", EXCLUSIONS["unknown"]),)
        return Explanation(asset_id, None, None, None, {}, why, (), prepared.tier)
    answer = recommend_block(catalogue, search, behaviour, config, [request], now)[0]
    shown = next((item for item in answer.items if item.asset_id == asset_id), None)
    codes = []
    if not catalogue.eligible(now)[row]:
        codes.append("not_eligible")
    if request.filter_mask is not None and not request.filter_mask[row]:
        codes.append("filtered")
    if request.rules.exclude is not None and pools.mask(request.rules.exclude)[row]:
        codes.append("rule")
    if row in prepared.suppressed:
        codes.append(prepared.suppressed[row])
    free = pools.of(request).rows()
    free = free[~np.isin(free, list(prepared.suppressed))]
    rows = np.union1d(free, [row]).astype(np.int64)
    (scored,) = score(scene, pools, [prepared], [rows], width=len(rows))
    at = int(np.searchsorted(rows, row))
    before = (scored.score > scored.score[at]) | ((scored.score == scored.score[at]) & (rows < row))
    parts = scored.parts[:, at]
    return Explanation(
        asset_id=asset_id,
        rank=shown.rank if shown else None,
        would_rank=int(before.sum()) + 1,
        score=shown.score if shown else float(scored.score[at]),
        terms=shown.terms if shown else _named(parts),
        exclusions=tuple((code, EXCLUSIONS[code]) for code in codes),
        reasons=shown.reasons if shown else _reasons(scene, prepared, scored, at, scored.parts.mean(axis=1)),
        tier=prepared.tier,
    )
