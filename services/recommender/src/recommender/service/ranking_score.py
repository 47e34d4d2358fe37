"""From requests to scored candidates: the steps that an answer, an explanation and an evaluation share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.filters import Filter
from recommender.domain.profile import empty_profile
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.numeric.behaviour import Behaviour
from recommender.numeric.candidates import Pool, VectorSearch, merge
from recommender.numeric.interest import read_interest
from recommender.numeric.ranking import ALL_TERMS, FATIGUE, OTHER_LANGUAGE, RULE, fatigue, score_parts, total
from recommender.numeric.score_terms import FIT, NEXT
from recommender.numeric.selection import top
from recommender.service.ranking_inputs import Prepared, Scene, newest, prepare, set_scene, together_rows

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
_BOOSTED = 50
"""Of each boost so many assets, the newest, are looked at whatever else speaks for them."""
CACHED = 16
"""So many buyers' terms stay in the processor's cache while they are weighed and added."""


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
    """Read each request's interest and what follows from it; one by one, so a batch is its single answers."""
    nobody = empty_profile()
    prepared = []
    for request in requests:
        if request.goal not in scene.config.goals:
            raise ValueError(f"unknown goal {request.goal!r}")
        profile = request.profile if request.personalise else nobody
        interest = read_interest(profile, scene.catalogue, scene.space, scene.config.interest, scene.now)
        prepared.append(prepare(scene, request, together_rows(scene, interest), interest))
    return prepared


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
        asked = [(b, q) for b in members for q in prepared[b].inputs.asked if wanted[q]]
        if not asked:
            continue
        vectors = np.stack([_query(prepared[b], q) for b, q in asked])
        # As many more as are suppressed, so that the quota is met whatever the nearest ones are.
        k = max(wanted[q] + len(prepared[b].suppressed) for b, q in asked)
        _, rows = search.search(vectors, min(k, len(pool.rows())), pool.eligible)
        for (b, q), found in zip(asked, rows, strict=True):
            near[b].append((found[found >= 0], wanted[q]))
    return [_merged(scene, pools, p, n) for p, n in zip(prepared, near, strict=True)]


def _query(buyer: Prepared, q: int) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = buyer.inputs.directions[buyer.inputs.asked.index(q)]
    return vector


def _merged(scene: Scene, pools: Pools, buyer: Prepared, near: list[tuple[Rows, int]]) -> Rows:
    pool = pools.of(buyer.request)
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
    links = buyer.inputs.spoken.links[:-1]
    if len(links):
        rows = scene.behaviour.linked.rows(scene.catalogue)
        speaks_for = np.flatnonzero((rows >= 0) & pool.eligible[rows] & (links > 0))
        best_linked = speaks_for[top(links[speaks_for], quotas.together + len(buyer.suppressed))]
        sources.append((rows[best_linked], quotas.together))
    if buyer.inputs.stage is not None:
        best = {int((buyer.inputs.stage @ matrix).argmax()) for matrix in (FIT, NEXT)}
        sources += [(pool.fitting(s), quotas.stage) for s in sorted(best)]
    rules = buyer.request.rules
    first = (*rules.pin, *rules.static)
    pinned = [row for a in first if (row := scene.catalogue.row_of.get(a)) is not None]
    for rule, _ in rules.boost:  # what is boosted must be looked at, else the boost could do nothing
        lifted = pool.rows()[pools.mask(rule)[pool.rows()]]
        newest_first = lifted[top(scene.catalogue.published_at[lifted], _BOOSTED)]
        sources.append((newest_first, _BOOSTED))
    if pinned:
        rows = np.array(pinned, dtype=np.int64)
        sources.insert(0, (rows[pool.eligible[rows]], len(pinned) * 1_000_000))
    return merge([(rows, quota) for rows, quota in sources if quota], blocked, quotas.width)


def score(
    scene: Scene, pools: Pools, prepared: Sequence[Prepared], found: Sequence[Rows], *, width: int
) -> list[Scored]:
    """Score each buyer's candidates; `width` pads them all to one shape, whatever the block."""
    if not len(scene.catalogue) or not width:
        nothing = np.empty((len(ALL_TERMS), 0))
        return [Scored(np.empty(0, dtype=np.int64), nothing, np.empty(0)) for _ in prepared]
    scored: list[Scored] = []
    for start in range(0, len(prepared), CACHED):
        some = slice(start, start + CACHED)
        scored += _score_some(scene, pools, prepared[some], found[some], width)
    return scored


def _score_some(
    scene: Scene, pools: Pools, prepared: Sequence[Prepared], found: Sequence[Rows], width: int
) -> list[Scored]:
    rows = np.zeros((len(prepared), width), dtype=np.int64)
    for b, own in enumerate(found):
        rows[b, : len(own)] = own
    parts = score_parts(
        scene.catalogue,
        scene.space,
        scene.tags,
        scene.behaviour,
        scene.config,
        [p.inputs for p in prepared],
        [p.request.goal for p in prepared],
        rows,
        scene.now,
    )
    for b, (buyer, own) in enumerate(zip(prepared, found, strict=True)):
        _add_extras(scene, pools, buyer, own, parts[:, b, : len(own)])
    scores = total(parts)
    return [Scored(own, parts[:, b, : len(own)], scores[b, : len(own)]) for b, own in enumerate(found)]


def _add_extras(scene: Scene, pools: Pools, buyer: Prepared, rows: Rows, parts: Floats) -> None:
    if buyer.again:
        used = (rows[:, None] == np.fromiter(buyer.again, np.int64)).any(axis=1)
        parts[FATIGUE, used] -= scene.config.again.penalty
    if buyer.shows:
        shown = [(i, buyer.shows[int(row)]) for i, row in enumerate(rows) if int(row) in buyer.shows]
        if shown:
            counts = np.array([count for _, (count, _) in shown])
            lasts = np.array([last for _, (_, last) in shown])
            parts[FATIGUE, [i for i, _ in shown]] += fatigue(counts, lasts, scene.config.fatigue, scene.now)
    if buyer.unread_languages.any():
        unread = buyer.unread_languages[scene.space.language[rows]]
        parts[OTHER_LANGUAGE, unread] -= scene.config.other_language.penalty
    for sign, rules in ((1.0, buyer.request.rules.boost), (-1.0, buyer.request.rules.bury)):
        for rule, amount in rules:
            parts[RULE, pools.mask(rule)[rows]] += sign * amount


def score_everything(
    catalogue: Catalogue,
    behaviour: Behaviour,
    config: RankingConfig,
    request: RankRequest,
    rows: Rows,
    now: float,
) -> Floats:
    """float64 [K]: the scores of the rows given, no candidate generation and no reranking; for evaluation."""
    scene = set_scene(catalogue, behaviour, config, now)
    (prepared,) = prepare_all(scene, [request])
    (scored,) = score(scene, Pools(scene), [prepared], [rows], width=len(rows))
    return scored.score
