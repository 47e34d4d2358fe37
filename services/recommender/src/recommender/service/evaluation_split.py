"""The random split: a fifth of each buyer's engagements hidden, each ranked among 100 sampled others.

A well-known protocol for this kind of log (buyers of at least five assets). It knows no time: the split
mixes past and future, so every term that speaks of time is put out of action by giving all signals and
assets one moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.profile import Profile, empty_profile
from recommender.domain.ranking_config import TERMS, RankingConfig, ranking_config_table
from recommender.domain.ranking_request import RankRequest
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.baselines import Baselines
from recommender.numeric.behaviour import EventTable, first_engagements, learn_behaviour
from recommender.numeric.learning import F32, TrainingCases, join_cases, joined, scores_of
from recommender.numeric.ranking_metrics import TOP, MethodResult, rank_of, resampling, summary
from recommender.numeric.score_terms import score_terms
from recommender.numeric.selection import top
from recommender.service.evaluation import OURS, PLAIN, TEXT_BASELINES, Evaluation, Progress, ratios_to_best
from recommender.service.evaluation_data import Log
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_learning import choose_shape, with_curves
from recommender.service.ranking_score import prepare_all

SAMPLED = 100
LEAST_ENGAGEMENTS = 5
HIDDEN = 0.2
INNER = 3
FITTED = 40
"""So many of the sampled others suffice to fit a blend; all of them judge it."""
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Hidden:
    """What is asked of one buyer: engaged rows that are known, hidden ones, and who else stands to be
    ranked.
    """

    buyer: int
    known: Rows
    weights: Floats
    hidden: Rows
    others: tuple[Rows, ...]  # for each hidden row, SAMPLED rows the buyer never engaged with


def evaluate_split(
    log: Log,
    kinds: SignalKinds,
    config: RankingConfig,
    *,
    seed: int = 0,
    progress: Progress = lambda _what, _done: None,
) -> Evaluation:
    """Fit on four fifths (its blend on a split inside these), ask the rest. The catalogue needs vectors."""
    now = float(log.events.at.max())
    catalogue = _timeless(log.catalogue, now)
    rng = np.random.default_rng(seed)
    pairs, weights = _pairs(log, kinds, now)
    kept, hidden = _split(pairs, rng)
    learnt, learning = _learn(pairs.rows(kept), weights[kept], catalogue, kinds, config, now, rng, progress)
    baselines = Baselines(
        [c.title for c in catalogue.cards], catalogue.vectors, log.catalogue.published_at, seed
    )
    known = pairs.rows(kept)
    rows_of = _rows(catalogue, known)
    baselines.learn(known.buyer, rows_of)
    for row in rows_of:
        baselines.firsts.add(int(row), now)
    ranks: dict[str, list[float]] = {}
    covered: dict[str, NDArray[np.bool_]] = {}
    buyers: list[int] = []
    lines: list[dict[str, object]] = []
    counts = np.bincount(rows_of, minlength=len(catalogue))
    questions = list(_questions(pairs, weights, kept, hidden, catalogue, rng))
    for question, values in _values(catalogue, known, questions, kinds, config, now):
        scores = {
            OURS: scores_of(values, learnt.curves, learnt.weights, learnt.unproven_curves),
            PLAIN: scores_of(values, config.curves, config.weights, config.unproven_curves),
        }
        plain = baselines.scores(question.known, now)
        scores |= {
            n: s.astype(np.float64) for n, s in plain.items() if not n.startswith(("trending", "newest"))
        }
        for row, others in zip(question.hidden, question.others, strict=True):
            rows = np.append(others, row)
            own = {}
            for name, score in scores.items():
                own[name] = rank_of(score[rows], len(rows) - 1)
                ranks.setdefault(name, []).append(own[name])
                covered.setdefault(name, np.zeros(len(catalogue), dtype=np.bool_))[
                    rows[top(score[rows], TOP)]
                ] = True
            buyers.append(question.buyer)
            lines.append(
                {
                    "buyer": log.buyers[question.buyer],
                    "asset_id": catalogue.cards[int(row)].asset_id,
                    "engagements_before": int(counts[row]),
                    "ranks": own,
                }
            )
        progress("random", len(lines))
    draws = resampling(np.array(buyers, dtype=np.int64), np.random.default_rng(seed))
    cold = np.array([int(str(line["engagements_before"])) < 3 for line in lines], dtype=np.bool_)
    results = {n: MethodResult(n, np.array(r), covered[n]) for n, r in ranks.items()}
    facts: dict[str, object] = {
        "buyers": len(set(buyers)),
        "cases": len(lines),
        "sampled": SAMPLED,
        "ratio_to_best_baseline": ratios_to_best(results, draws),
        "cold_hits": {
            n: int((r.ranks[cold] <= TOP).sum())
            for n, r in results.items()
            if n in TEXT_BASELINES or n.startswith(OURS)
        },
        "learning": learning,
        "config": ranking_config_table(learnt),
    }
    return Evaluation([summary(r, draws, {"cold": cold}) for r in results.values()], lines, facts)


def _learn(
    pairs: EventTable,
    weights: Floats,
    catalogue: Catalogue,
    kinds: SignalKinds,
    config: RankingConfig,
    now: float,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[RankingConfig, dict[str, object]]:
    """A blend from what is known alone: a fifth of it hidden INNER times over, each time another; every
    fourth buyer's questions decide on the blend's shape.
    """
    early, late = _cases(pairs, weights, catalogue, kinds, config, now, rng, INNER, progress)
    choice = choose_shape(early, late, config, progress)
    if not choice.beats_plain:
        return config, choice.report
    both = joined([early, late])
    return with_curves(config, choice.shape.fit(both), both, "learnt-random"), choice.report


def split_cases(
    log: Log, kinds: SignalKinds, config: RankingConfig, *, seed: int = 0, times: int = 1
) -> tuple[TrainingCases, TrainingCases]:
    """Cases of the random split, (three quarters of the buyers, the others), from all of a log."""
    now = float(log.events.at.max())
    pairs, weights = _pairs(log, kinds, now)
    rng = np.random.default_rng(seed)
    return _cases(pairs, weights, _timeless(log.catalogue, now), kinds, config, now, rng, times)


def _cases(
    pairs: EventTable,
    weights: Floats,
    catalogue: Catalogue,
    kinds: SignalKinds,
    config: RankingConfig,
    now: float,
    rng: np.random.Generator,
    times: int,
    progress: Progress = lambda _what, _done: None,
) -> tuple[TrainingCases, TrainingCases]:
    parts: tuple[list[tuple[F32, int]], list[tuple[F32, int]]] = ([], [])
    for _ in range(times):
        kept, hidden = _split(pairs, rng)
        asked = list(_questions(pairs, weights, kept, hidden, catalogue, rng))
        for question, values in _values(catalogue, pairs.rows(kept), asked, kinds, config, now):
            judges = question.buyer % 4 == 0
            own = parts[judges]
            for row, others in zip(question.hidden, question.others, strict=True):
                rows = np.append(others if judges else others[:FITTED], row)
                own.append((values[:, rows].astype(np.float32), len(rows) - 1))
            progress("learn", len(parts[0]) + len(parts[1]))
    return join_cases(parts[0]), join_cases(parts[1])


def _timeless(catalogue: Catalogue, now: float) -> Catalogue:
    same = np.full(len(catalogue), now)
    return replace(catalogue, published_at=same, publish_at=same)


def _pairs(log: Log, kinds: SignalKinds, now: float) -> tuple[EventTable, Floats]:
    """Distinct pairs of buyer and asset with what they weigh, of buyers with enough of them, all at one
    moment.
    """
    firsts, weights = first_engagements(log.events, kinds, now)
    listed = np.array([name in log.catalogue.row_of for name in firsts.names])[firsts.asset]
    many = np.bincount(firsts.buyer[listed], minlength=int(firsts.buyer.max()) + 1) >= LEAST_ENGAGEMENTS
    chosen = np.flatnonzero(listed & many[firsts.buyer])
    table = firsts.rows(chosen)
    view = np.full(len(chosen), kinds.index("view"), dtype=np.int16)
    return EventTable(
        table.buyer, table.asset, table.names, np.full(len(chosen), now), view, table.weight
    ), weights[chosen]


def _split(pairs: EventTable, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Positions kept and hidden: of each buyer's pairs a fifth, rounded, by chance."""
    order = np.lexsort((rng.random(len(pairs)), pairs.buyer))
    buyer = pairs.buyer[order]
    start = np.searchsorted(buyer, buyer, side="left")
    count = np.searchsorted(buyer, buyer, side="right") - start
    hidden = np.arange(len(order)) - start < np.round(HIDDEN * count)
    return np.sort(order[~hidden]), np.sort(order[hidden])


def _rows(catalogue: Catalogue, pairs: EventTable) -> Rows:
    return np.array([catalogue.row_of.get(n, -1) for n in pairs.names], dtype=np.int64)[pairs.asset]


def _questions(
    pairs: EventTable,
    weights: Floats,
    kept: Rows,
    hidden: Rows,
    catalogue: Catalogue,
    rng: np.random.Generator,
) -> Iterator[_Hidden]:
    rows = _rows(catalogue, pairs)
    for buyer in np.unique(pairs.buyer[hidden]):
        mine = np.flatnonzero(pairs.buyer == buyer)
        never = np.setdiff1d(np.arange(len(catalogue)), rows[mine])
        own, asked = np.intersect1d(mine, kept), np.intersect1d(mine, hidden)
        others = tuple(rng.choice(never, min(SAMPLED, len(never)), replace=False) for _ in asked)
        yield _Hidden(int(buyer), rows[own], weights[own], rows[asked], others)


def _values(
    catalogue: Catalogue,
    known: EventTable,
    questions: list[_Hidden],
    kinds: SignalKinds,
    config: RankingConfig,
    now: float,
) -> Iterator[tuple[_Hidden, Floats]]:
    """For each buyer the terms [T, N] of every asset, by the serving code."""
    behaviour = learn_behaviour(known, kinds, now, config, catalogue=catalogue)
    every = np.arange(len(catalogue), dtype=np.int64)
    scene = set_scene(catalogue, behaviour, config, now)
    for question in questions:
        profile = _profile(catalogue, question, now)
        (prepared,) = prepare_all(scene, [RankRequest(profile=profile)])
        values = score_terms(
            catalogue, scene.space, scene.tags, behaviour, config, [prepared.inputs], every[None], now
        )
        yield question, _without_time(values[:, 0])


def _profile(catalogue: Catalogue, question: _Hidden, now: float) -> Profile:
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
