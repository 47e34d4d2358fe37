"""Recommends for a block of buyers, and explains one asset: candidates → score → rerank → reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.filters import Filter
from recommender.domain.profile import empty_profile
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
from recommender.numeric.candidates import Pool, VectorSearch, merge, top
from recommender.numeric.interest import read_interest
from recommender.numeric.ranking import ALL_TERMS, DIVERSITY, FATIGUE, RULE, contributions, fatigue, total
from recommender.numeric.reasons import reasons_for
from recommender.numeric.rerank import choose, pool_size
from recommender.numeric.score_terms import FIT, NEXT, score_terms
from recommender.service.ranking_inputs import Prepared, Scene, newest, prepare, set_scene, together_rows

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
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
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
        answers += [_answer(scene, p, s) for p, s in zip(prepared, scored, strict=True)]
    return answers


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Candidates of one buyer: `rows` int64 [K]; `parts` float64 [T + extras, K]; `score` float64 [K]."""

    rows: Rows
    parts: Floats
    score: Floats


class Pools:
    """The pool of each combination of filter and rules, made once a call."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._eligible = scene.catalogue.eligible(scene.now)
        self._pools: dict[tuple[int, int], Pool] = {}
        self._masks: dict[int, Mask] = {}

    def of(self, request: RankRequest) -> Pool:
        key = (id(request.filter_mask), id(request.rules.exclude))
        if key not in self._pools:
            eligible = self._eligible
            if request.filter_mask is not None:
                eligible = eligible & request.filter_mask
            if request.rules.exclude is not None:
                eligible = eligible & ~self.mask(request.rules.exclude)
            scene = self._scene
            self._pools[key] = Pool(eligible, scene.catalogue, scene.aligned, newest(scene.catalogue))
        return self._pools[key]

    def mask(self, rule: Filter) -> Mask:
        if id(rule) not in self._masks:
            self._masks[id(rule)] = rule.mask(self._scene.catalogue)
        return self._masks[id(rule)]


def prepare_all(scene: Scene, requests: Sequence[RankRequest]) -> list[Prepared]:
    """Read each request's interest; the engaged-together part is one product for all of them."""
    nobody = empty_profile()
    interests = []
    for request in requests:
        if request.goal not in scene.config.goals:
            raise ValueError(f"unknown goal {request.goal!r}")
        profile = request.profile if request.personalise else nobody
        interests.append(
            read_interest(profile, scene.catalogue, scene.space, scene.config.interest, scene.now)
        )
    together = together_rows(scene, interests)
    return [prepare(scene, r, t, i) for r, t, i in zip(requests, together, interests, strict=True)]


def find_candidates(
    scene: Scene, search: VectorSearch, pools: Pools, prepared: Sequence[Prepared]
) -> list[Rows]:
    """int64 rows to score for each buyer, at most `candidates.width`, none suppressed."""
    quotas = scene.config.candidates
    wanted = (quotas.recent, quotas.long, quotas.account, quotas.context, quotas.query)
    near: list[list[tuple[Rows, int]]] = [[] for _ in prepared]
    by_pool: dict[int, list[int]] = {}
    for b, buyer in enumerate(prepared):
        by_pool.setdefault(id(pools.of(buyer.request)), []).append(b)
    for members in by_pool.values():
        pool = pools.of(prepared[members[0]].request)
        if len(pool.rows()) <= quotas.width:
            continue
        asked = [
            (b, q)
            for b in members
            for q, quota in enumerate(wanted)
            if quota and prepared[b].inputs.queries[q].any()
        ]
        if not asked:
            continue
        vectors = np.stack([prepared[b].inputs.queries[q] for b, q in asked])
        # As many more as are suppressed, so that the quota is met whatever the nearest ones are.
        k = max(wanted[q] + len(prepared[b].suppressed) for b, q in asked)
        _, rows = search.search(vectors, min(k, len(pool.rows())), pool.eligible)
        for (b, q), found in zip(asked, rows, strict=True):
            near[b].append((found[found >= 0], wanted[q]))
    return [_merged(scene, pools.of(p.request), p, n) for p, n in zip(prepared, near, strict=True)]


def _merged(scene: Scene, pool: Pool, buyer: Prepared, near: list[tuple[Rows, int]]) -> Rows:
    quotas = scene.config.candidates
    blocked = np.zeros(len(scene.catalogue), dtype=np.bool_)
    if buyer.suppressed:
        blocked[list(buyer.suppressed)] = True
    if len(pool.rows()) <= quotas.width:
        return pool.rows()[~blocked[pool.rows()]]
    sources = list(near)
    sources += [(pool.popular(h), quotas.popular) for h in range(len(scene.behaviour.half_lives))]
    sources.append((pool.fresh(), quotas.fresh))
    for speaks in (buyer.inputs.together, buyer.inputs.together_recent):
        spoken = np.flatnonzero(speaks[:-1])
        rows = scene.aligned.row_of_together[spoken]
        allowed = (rows >= 0) & pool.eligible[rows]
        rows, strength = rows[allowed], speaks[spoken[allowed]]
        sources.append((rows[top(strength, quotas.together + len(buyer.suppressed))], quotas.together))
    if buyer.inputs.stage is not None:
        best = {int((buyer.inputs.stage @ matrix).argmax()) for matrix in (FIT, NEXT)}
        sources += [(pool.fitting(s), quotas.stage) for s in sorted(best)]
    pinned = [row for a in buyer.request.rules.pin if (row := scene.catalogue.row_of.get(a)) is not None]
    if pinned:
        rows = np.array(pinned, dtype=np.int64)
        sources.insert(0, (rows[pool.eligible[rows]], len(pinned) * 1_000_000))
    return merge([(rows, quota) for rows, quota in sources if quota], blocked, quotas.width)


def score(
    scene: Scene, pools: Pools, prepared: Sequence[Prepared], found: Sequence[Rows], *, width: int
) -> list[Scored]:
    """Score each buyer's candidates; `width` pads them all to one shape, whatever the block."""
    rows = np.zeros((len(prepared), width), dtype=np.int64)
    for b, own in enumerate(found):
        rows[b, : len(own)] = own
    if not len(scene.catalogue) or not width:
        nothing = np.empty((len(ALL_TERMS), 0))
        return [Scored(np.empty(0, dtype=np.int64), nothing, np.empty(0)) for _ in prepared]
    inputs = [p.inputs for p in prepared]
    values = score_terms(
        scene.catalogue, scene.space, scene.tags, scene.behaviour, scene.config, inputs, rows, scene.now
    )
    scored = []
    for b, (buyer, own) in enumerate(zip(prepared, found, strict=True)):
        parts = contributions(values[:, b, : len(own)], scene.config, buyer.request.goal)
        _add_extras(scene, pools, buyer, own, parts)
        scored.append(Scored(own, parts, total(parts)))
    return scored


def _add_extras(scene: Scene, pools: Pools, buyer: Prepared, rows: Rows, parts: Floats) -> None:
    if buyer.shows:
        shown = [(i, buyer.shows[int(row)]) for i, row in enumerate(rows) if int(row) in buyer.shows]
        if shown:
            counts = np.array([count for _, (count, _) in shown])
            lasts = np.array([last for _, (_, last) in shown])
            parts[FATIGUE, [i for i, _ in shown]] = fatigue(counts, lasts, scene.config.fatigue, scene.now)
    for sign, rules in ((1.0, buyer.request.rules.boost), (-1.0, buyer.request.rules.bury)):
        for rule, amount in rules:
            parts[RULE, pools.mask(rule)[rows]] += sign * amount


def _answer(scene: Scene, buyer: Prepared, scored: Scored) -> RankedAnswer:
    request, config = buyer.request, scene.config
    warnings = _warnings(scene, request)
    best = top(scored.score, pool_size(request.count, config.rerank, len(scored.rows)))
    pins = [row for a in request.rules.pin if (row := scene.catalogue.row_of.get(a)) is not None]
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
        most_of_kind=request.rules.most_of_type,
        unexplored=-scene.aligned.impressions[rows] - scene.aligned.buyers[rows],
        seed=request.seed,
    )
    if len(chosen.positions) < request.count:
        have = len(chosen.positions)
        warnings.append(("fewer_than_asked", f"Only {have} of {request.count} assets may be shown here"))
    middling = np.median(scored.parts, axis=1) if len(scored.rows) else np.zeros(len(ALL_TERMS))
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
        items.append(
            RankedAsset(
                asset_id=scene.catalogue.cards[int(scored.rows[at])].asset_id,
                rank=rank,
                score=float(total(parts)),
                terms=_named(parts),
                reasons=_reasons(scene, buyer, scored, at, middling),
                propensity=chance,
            )
        )
    return RankedAnswer(tuple(items), buyer.tier, tuple(warnings))


def _named(parts: Floats) -> Mapping[str, float]:
    return {term: float(part) for term, part in zip(ALL_TERMS, parts, strict=True)}


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
    return reasons_for(
        scene.catalogue,
        row,
        (scored.parts[:, at] - middling)[: len(TERMS)],
        interest=buyer.interest,
        together=_speakers(scene, buyer, row),
        stage=buyer.inputs.stage,
        context_title=scene.catalogue.cards[context].title if context is not None else None,
        persona=request.persona,
        industry=request.industry,
    )


def _speakers(scene: Scene, buyer: Prepared, row: int) -> list[tuple[int, float]]:
    """Engaged rows that speak for `row` by being engaged together with it, the strongest first."""
    matrix, index = scene.behaviour.together, scene.aligned.together_index
    target = int(index[row])
    if target < 0 or not len(buyer.interest.rows):
        return []
    own = index[buyer.interest.rows]
    strengths = []
    for engaged, source, weight in zip(buyer.interest.rows, own, buyer.interest.long, strict=True):
        if source < 0:
            continue
        start, end = matrix.indptr[source], matrix.indptr[source + 1]
        place = start + int(np.searchsorted(matrix.indices[start:end], target))
        if place < end and matrix.indices[place] == target:
            strengths.append((int(engaged), float(matrix.data[place] * weight)))
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
        reasons=shown.reasons
        if shown
        else _reasons(scene, prepared, scored, at, np.median(scored.parts, axis=1)),
        tier=prepared.tier,
    )
