"""Cases of the random split: a fifth of each buyer's engagements hidden, each among sampled others.

Every signal and asset is given one moment, so that terms that speak of time say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.profile import Profile, empty_profile
from recommender.domain.ranking_config import TERMS, RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.behaviour import EventTable, first_engagements, learn_behaviour
from recommender.numeric.learning import F32, TrainingCases, join_cases
from recommender.numeric.score_terms import score_terms
from recommender.service.evaluation import Progress
from recommender.service.evaluation_data import Log
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import prepare_all

SAMPLED = 100
LEAST_ENGAGEMENTS = 5
HIDDEN = 0.2
FITTED = 40
"""So many of the sampled others suffice to fit a blend; all of them judge it."""
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What is asked of one buyer: engaged rows that are known, hidden ones, and who else stands to be
    ranked.
    """

    buyer: int
    known: Rows
    weights: Floats
    hidden: Rows
    others: tuple[Rows, ...]  # for each hidden row, SAMPLED rows the buyer never engaged with


@dataclass(frozen=True, slots=True, eq=False)
class Timeless:
    """A log without time: distinct pairs of buyer and asset with what they weigh, and all that is needed to
    learn from them. Everything in it happened at `now`, epoch seconds.
    """

    pairs: EventTable
    weights: Floats
    catalogue: Catalogue
    kinds: SignalKinds
    config: RankingConfig
    now: float

    def part(self, positions: Rows) -> Timeless:
        """These of the pairs, as if there had been no others."""
        return replace(self, pairs=self.pairs.rows(positions), weights=self.weights[positions])

    @property
    def rows(self) -> Rows:
        """int64: the catalogue's row of each pair, -1 where it has none."""
        row_of = self.catalogue.row_of
        return np.array([row_of.get(n, -1) for n in self.pairs.names], dtype=np.int64)[self.pairs.asset]


def timeless(log: Log, kinds: SignalKinds, config: RankingConfig) -> Timeless:
    """All of a log, without buyers who engaged with fewer than LEAST_ENGAGEMENTS assets that are listed."""
    now = float(log.events.at.max())
    firsts, weights = first_engagements(log.events, kinds, now)
    listed = np.array([name in log.catalogue.row_of for name in firsts.names])[firsts.asset]
    many = np.bincount(firsts.buyer[listed], minlength=int(firsts.buyer.max()) + 1) >= LEAST_ENGAGEMENTS
    chosen = np.flatnonzero(listed & many[firsts.buyer])
    table = firsts.rows(chosen)
    view = np.full(len(chosen), kinds.index("view"), dtype=np.int16)
    pairs = EventTable(table.buyer, table.asset, table.names, np.full(len(chosen), now), view, table.weight)
    same = np.full(len(log.catalogue), now)
    catalogue = replace(log.catalogue, published_at=same, publish_at=same)
    return Timeless(pairs, weights[chosen], catalogue, kinds, config, now)


def split_cases(
    log: Log, kinds: SignalKinds, config: RankingConfig, *, seed: int = 0, times: int = 1
) -> tuple[TrainingCases, TrainingCases]:
    """Cases of the random split, (three quarters of the buyers, the others), from all of a log."""
    return inner_cases(timeless(log, kinds, config), np.random.default_rng(seed), times)


def inner_cases(
    known: Timeless,
    rng: np.random.Generator,
    times: int,
    progress: Progress = lambda _what, _done: None,
) -> tuple[TrainingCases, TrainingCases]:
    """A fifth hidden `times` over, each time another. → cases of (three quarters of the buyers, the rest)"""
    parts: tuple[list[tuple[F32, int]], list[tuple[F32, int]]] = ([], [])
    for _ in range(times):
        kept, hidden = hide(known.pairs, rng)
        asked = list(questions_of(known, kept, hidden, rng))
        for question, values in values_of(known.part(kept), asked):
            judges = question.buyer % 4 == 0
            own = parts[judges]
            for row, others in zip(question.hidden, question.others, strict=True):
                rows = np.append(others if judges else others[:FITTED], row)
                own.append((values[:, rows].astype(np.float32), len(rows) - 1))
            progress("learn", len(parts[0]) + len(parts[1]))
    return join_cases(parts[0]), join_cases(parts[1])


def hide(pairs: EventTable, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Positions kept and hidden: of each buyer's pairs a fifth, rounded, by chance."""
    order = np.lexsort((rng.random(len(pairs)), pairs.buyer))
    buyer = pairs.buyer[order]
    start = np.searchsorted(buyer, buyer, side="left")
    count = np.searchsorted(buyer, buyer, side="right") - start
    hidden = np.arange(len(order)) - start < np.round(HIDDEN * count)
    return np.sort(order[~hidden]), np.sort(order[hidden])


def questions_of(log: Timeless, kept: Rows, hidden: Rows, rng: np.random.Generator) -> Iterator[Hidden]:
    """What is asked of each buyer of whom something is hidden."""
    rows = log.rows
    is_kept = np.zeros(len(rows), dtype=np.bool_)
    is_kept[kept] = True
    for buyer in np.unique(log.pairs.buyer[hidden]):
        mine = np.flatnonzero(log.pairs.buyer == buyer)
        never = np.flatnonzero(~np.isin(np.arange(len(log.catalogue)), rows[mine], kind="table"))
        known = is_kept[mine]
        own, asked = mine[known], mine[~known]
        others = tuple(rng.choice(never, min(SAMPLED, len(never)), replace=False) for _ in asked)
        yield Hidden(int(buyer), rows[own], log.weights[own], rows[asked], others)


def values_of(known: Timeless, questions: list[Hidden]) -> Iterator[tuple[Hidden, Floats]]:
    """For each buyer the terms [T, N] of every asset, by the serving code."""
    catalogue, config, now = known.catalogue, known.config, known.now
    behaviour = learn_behaviour(known.pairs, known.kinds, now, config, catalogue=catalogue)
    every = np.arange(len(catalogue), dtype=np.int64)
    scene = set_scene(catalogue, behaviour, config, now)
    for question in questions:
        profile = _profile(catalogue, question, now)
        (prepared,) = prepare_all(scene, [RankRequest(profile=profile)])
        values = score_terms(
            catalogue, scene.space, scene.tags, behaviour, config, [prepared.inputs], every[None], now
        )
        yield question, _without_time(values[:, 0])


def _profile(catalogue: Catalogue, question: Hidden, now: float) -> Profile:
    order = np.argsort([catalogue.cards[int(r)].asset_id for r in question.known])
    ids = tuple(catalogue.cards[int(question.known[i])].asset_id for i in order)
    same = np.full(len(ids), now)
    return replace(
        empty_profile(),
        asset_ids=ids,
        weights=np.minimum(8.0, question.weights[order]),
        first_at=same,
        last_at=same,
    )


def _without_time(values: Floats) -> Floats:
    for term in ("fresh_day", "fresh_month", "newness", "just_read", "since_last_visit"):
        values[TERMS.index(term)] = 0.0
    return values
