"""Learns a ranking configuration from a firm's own log, and lets it serve only where it beats the plain
blend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.domain.ranking_config import TERMS, Curve, RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.learning import F32, TrainingCases, fit_curves, join_cases, ndcg_of, scores_of
from recommender.numeric.score_terms import score_terms
from recommender.service.evaluation_data import Log
from recommender.service.evaluation_replay import DAY, candidates, replay
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import prepare_all

LEAST_CASES = 300
"""Fewer than this teach nothing that would hold; the plain blend stays."""
GRID = ((30.0, 0), (30.0, 4), (30.0, 8))
"""(ridge, bends of a curve) that are tried; what does best on the held-out days is taken."""


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """`days` of log before `until` are learnt from, `most_cases` of them at most (every nth, so that all
    days count); the last `held_out` share, by time, decides. `negatives`: candidates drawn, each as
    likely, per case.
    """

    until: float
    view: str = "all"
    days: float = 60.0
    most_cases: int = 4_000
    negatives: int = 150
    held_out: float = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """`config` is the better of the two; `report` says how both did on the held-out days."""

    config: RankingConfig
    served: bool
    report: dict[str, object]


def learn_ranking(
    log: Log,
    kinds: SignalKinds,
    plain: RankingConfig,
    plan: LearningPlan,
    progress: Callable[[str, int], None] = lambda _what, _done: None,
) -> Learnt:
    """Fit on cases before `plan.until` (epoch seconds) and check against `plain` on the latest of these.

    Negatives are drawn uniformly from everything the buyer could have been shown: drawn by popularity
    they would teach that the popular is what is not chosen.
    """
    cases = gather_cases(log, kinds, plain, plan, progress)
    if len(cases) < LEAST_CASES:
        return Learnt(plain, served=False, report={"cases": len(cases), "why": "too few cases to learn from"})
    split = int(len(cases) * (1 - plan.held_out))
    early, late = part_of(cases, 0, split), part_of(cases, split, len(cases))
    base = ndcg_of(scores_of(late.values, plain.curves, plain.weights), late)
    tried: list[dict[str, object]] = []
    best, best_ndcg = (30.0, 0), -1.0
    for ridge, knots in GRID:
        curves = fit_curves(early, ridge=ridge, knots=knots)
        ndcg = float(ndcg_of(scores_of(late.values, curves, ones(curves)), late).mean())
        tried.append({"ridge": ridge, "bends": knots, "held_out_ndcg_at_10": ndcg})
        progress("fit", len(tried))
        if ndcg > best_ndcg + 1e-4:
            best, best_ndcg = (ridge, knots), ndcg
    served = best_ndcg > float(base.mean())
    report: dict[str, object] = {
        "cases": len(cases),
        "held_out_cases": len(late),
        "plain_ndcg_at_10": float(base.mean()),
        "learnt_ndcg_at_10": best_ndcg,
        "tried": tried,
        "view": plan.view,
    }
    if not served:
        return Learnt(plain, served=False, report=report | {"why": "it did not beat the plain blend"})
    curves = fit_curves(cases, ridge=best[0], knots=best[1])
    return Learnt(with_curves(plain, curves, cases, f"learnt-{plan.view}"), served=True, report=report)


def with_curves(
    plain: RankingConfig, curves: Mapping[str, Curve], cases: TrainingCases, name: str
) -> RankingConfig:
    """The plain configuration with fitted curves, scaled so that scores spread as before: the weights of
    terms the log says nothing of, penalties and rules then keep their meaning.
    """
    fitted = scores_of(cases.values, curves, ones(curves))
    weights = np.array([w if t in curves else 0.0 for t, w in zip(TERMS, plain.weights, strict=True)])
    before = scores_of(cases.values, {}, weights.tolist())
    scale = float(before.std() / max(float(fitted.std()), 1e-9)) or 1.0
    return replace(
        plain,
        name=name,
        version=plain.version + 1,
        weights=tuple(
            round(scale, 6) if t in curves else w for t, w in zip(TERMS, plain.weights, strict=True)
        ),
        curves=dict(plain.curves) | dict(curves),
    )


def gather_cases(
    log: Log,
    kinds: SignalKinds,
    config: RankingConfig,
    plan: LearningPlan,
    progress: Callable[[str, int], None],
) -> TrainingCases:
    """The term values of each case's candidates, as the serving code computes them."""
    back = plan.view == "back"
    start = plan.until - plan.days * DAY
    if back:  # such cases are rare, so look further back
        start = plan.until - 2 * plan.days * DAY
    times = log.events.at[(log.events.at >= start) & (log.events.at < plan.until)]
    stride = 1 if back else max(1, int(0.6 * len(times) / plan.most_cases))
    rng = np.random.default_rng(0)
    parts: list[tuple[F32, int]] = []
    run = replay(
        log.catalogue, log.events, kinds, config, start=start, end=plan.until, only_back_catalogue=back
    )
    for n, case in enumerate(run):
        if n % stride:
            continue
        rows = candidates(log.catalogue, case, back_catalogue=back)
        if len(rows) > plan.negatives:
            drawn = rng.choice(rows, plan.negatives, replace=False)
            rows = np.unique(np.append(drawn, case.row)).astype(np.int64)
        scene = set_scene(log.catalogue, case.behaviour, config, case.now)
        (prepared,) = prepare_all(scene, [RankRequest(profile=case.profile)])
        values = score_terms(
            scene.catalogue,
            scene.space,
            scene.tags,
            scene.behaviour,
            config,
            [prepared.inputs],
            rows[None],
            case.now,
        )
        parts.append((values[:, 0].astype(np.float32), int(np.searchsorted(rows, case.row))))
        progress("learn", len(parts))
    return (
        join_cases(parts) if parts else TrainingCases(np.empty((len(TERMS), 0), np.float32), _none(), _none())
    )


def _none() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.empty(0, dtype=np.int64)


def ones(curves: Mapping[str, Curve]) -> Sequence[float]:
    """Weights under which fitted curves count as they are."""
    return [1.0 if term in curves else 0.0 for term in TERMS]


def part_of(cases: TrainingCases, start: int, end: int) -> TrainingCases:
    """The cases from `start` up to `end`."""
    first = int(cases.lengths[:start].sum())
    last = first + int(cases.lengths[start:end].sum())
    return TrainingCases(cases.values[:, first:last], cases.lengths[start:end], cases.target[start:end])
