"""The random split: a fifth of each buyer's engagements hidden, each ranked among 100 sampled others.

A well-known protocol for this kind of log (buyers of at least five assets). It knows no time: the split
mixes past and future, so every term that speaks of time is put out of action by giving all signals and
assets one moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_reader import ranking_config_table
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.baselines import Baselines
from recommender.numeric.learning import joined, scores_of
from recommender.numeric.ranking_metrics import TOP, MethodResult, rank_of, resampling, summary
from recommender.numeric.selection import top
from recommender.service.evaluation import OURS, PLAIN, TEXT_BASELINES, Evaluation, Progress, ratios_to_best
from recommender.service.evaluation_data import Log
from recommender.service.ranking_learning import choose_shape, with_curves
from recommender.service.split_cases import (
    SAMPLED,
    Timeless,
    hide,
    inner_cases,
    questions_of,
    timeless,
    values_of,
)

INNER = 3
SPLITS = 3


@dataclass(slots=True, eq=False)
class _Answers:
    """What was asked and answered, case by case."""

    ranks: dict[str, list[float]] = field(default_factory=dict)
    covered: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    buyers: list[int] = field(default_factory=list)
    lines: list[dict[str, object]] = field(default_factory=list)


def evaluate_split(
    log: Log,
    kinds: SignalKinds,
    config: RankingConfig,
    *,
    seed: int = 0,
    splits: int = SPLITS,
    progress: Progress = lambda _what, _done: None,
) -> Evaluation:
    """Fit on four fifths (its blend on a split inside these), ask the rest; `splits` times over, each time
    another fifth, since one draw is up to .01 off another. The catalogue needs vectors.
    """
    whole, answers = timeless(log, kinds, config), _Answers()
    facts: dict[str, object] = {}
    recalls: dict[str, list[float]] = {}
    for split in range(splits):
        before = len(answers.lines)
        learnt, learning = _one_split(log, whole, seed + split, answers, progress)
        facts = facts or {"learning": learning, "config": ranking_config_table(learnt)}
        for name, ranks in answers.ranks.items():
            hits = np.ceil(np.array(ranks[before:])) <= TOP
            recalls.setdefault(name, []).append(float(hits.mean()))
    draws = resampling(np.array(answers.buyers, dtype=np.int64), np.random.default_rng(seed))
    cold = np.array([int(str(line["engagements_before"])) < 3 for line in answers.lines], dtype=np.bool_)
    results = {n: MethodResult(n, np.array(r), answers.covered[n]) for n, r in answers.ranks.items()}
    facts |= {
        "buyers": len(set(answers.buyers)),
        "cases": len(answers.lines),
        "sampled": SAMPLED,
        "splits": splits,
        "recall_at_10_by_split": recalls,
        "ratio_to_best_baseline": ratios_to_best(results, draws),
        "cold_hits": {
            n: int((r.ranks[cold] <= TOP).sum())
            for n, r in results.items()
            if n in TEXT_BASELINES or n.startswith(OURS)
        },
    }
    rows = [summary(r, draws, {"cold": cold}) for r in results.values()]
    return Evaluation(rows, answers.lines, facts)


def _one_split(
    log: Log, whole: Timeless, seed: int, answers: _Answers, progress: Progress
) -> tuple[RankingConfig, dict[str, object]]:
    """Hide a fifth, learn from the rest and write down what is answered. → the blend, and how it was found"""
    catalogue, config, now = whole.catalogue, whole.config, whole.now
    rng = np.random.default_rng(seed)
    kept, hidden = hide(whole.pairs, rng)
    known = whole.part(kept)
    learnt, learning = _learn(known, rng, progress)
    baselines = Baselines(
        [c.title for c in catalogue.cards], catalogue.vectors, log.catalogue.published_at, seed
    )
    rows_of = known.rows
    baselines.learn(known.pairs.buyer, rows_of)
    for row in rows_of:
        baselines.firsts.add(int(row), now)
    counts = np.bincount(rows_of, minlength=len(catalogue))
    for question, values in values_of(known, list(questions_of(whole, kept, hidden, rng))):
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
                answers.ranks.setdefault(name, []).append(own[name])
                answers.covered.setdefault(name, np.zeros(len(catalogue), dtype=np.bool_))[
                    rows[top(score[rows], TOP)]
                ] = True
            answers.buyers.append(question.buyer)
            answers.lines.append(
                {
                    "buyer": log.buyers[question.buyer],
                    "asset_id": catalogue.cards[int(row)].asset_id,
                    "engagements_before": int(counts[row]),
                    "ranks": own,
                }
            )
        progress("random", len(answers.lines))
    return learnt, learning


def _learn(
    known: Timeless, rng: np.random.Generator, progress: Progress
) -> tuple[RankingConfig, dict[str, object]]:
    """A blend from what is known alone: a fifth of it hidden INNER times over, each time another; every
    fourth buyer's questions decide on the blend's shape.
    """
    early, late = inner_cases(known, rng, INNER, progress)
    choice = choose_shape(early, late, known.config, progress)
    if not choice.beats_plain:
        return known.config, choice.report
    both = joined([early, late])
    return with_curves(known.config, choice.shape.fit(both), both, "learnt-random"), choice.report
