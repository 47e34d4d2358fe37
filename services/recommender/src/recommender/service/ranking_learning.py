"""Learns a ranking configuration from a firm's own log, and lets it serve only where it beats the plain
blend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from recommender.domain.ranking_config import TERMS, RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.learning import (
    F32,
    Blend,
    Floats,
    TrainingCases,
    fit_curves,
    join_cases,
    middle_ranks,
    ndcg_of,
    scores_of,
)
from recommender.numeric.ranking_metrics import TOP
from recommender.numeric.score_terms import score_terms
from recommender.service.evaluation_data import Log, before
from recommender.service.evaluation_replay import DAY, candidates, replay
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import prepare_all

LEAST_CASES = 300
"""Fewer than this teach nothing that would hold; the plain blend stays."""
LEAST_COLD_HITS = 5
"""So many cold assets must the text alone find among the held-out cases before a blend is held to it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a blend is fitted: `ridge`, bends of a curve, bends of what unproven assets get besides (None:
    nothing), and how much a case of an asset that nobody had engaged with counts.
    """

    ridge: float
    bends: int
    unproven_bends: int | None = None
    cold_weight: float = 1.0

    def fit(self, cases: TrainingCases) -> Blend:
        return fit_curves(
            cases,
            ridge=self.ridge,
            knots=self.bends,
            unproven_knots=self.unproven_bends,
            cold_weight=self.cold_weight,
        )


SHAPES = (Shape(30.0, 0), Shape(30.0, 4), Shape(30.0, 8), Shape(60.0, 4, 1))
COLD_MARGIN = 1.1
"""What holds on a few held-out cases by a hair would not hold on others."""
COLD_PRICE = 0.93
"""A blend that finds the cold assets, where the plain one doesn't, may give up so much of its NDCG@10."""
COLD_WEIGHTS = (2.0, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 14.0)
"""Tried in this order on the best shape until cold assets are found as often as by their text alone."""


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """`days` of log before `until` are learnt from, `most_cases` of them at most (every nth, so that all
    days count); the last `held_out` share, by time, decides. `negatives`: candidates drawn, each as
    likely, per case. `refresh_days`: how often behaviour is learnt anew as the log goes by.
    """

    until: float
    view: str = "all"
    days: float = 60.0
    most_cases: int = 4_000
    negatives: int = 150
    held_out: float = 0.25
    refresh_days: float = 1.0


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
    cases = gather_cases(before(log, plan.until), kinds, plain, plan, progress)
    if len(cases) < LEAST_CASES:
        return Learnt(plain, served=False, report={"cases": len(cases), "why": "too few cases to learn from"})
    split = int(len(cases) * (1 - plan.held_out))
    early, late = part_of(cases, 0, split), part_of(cases, split, len(cases))
    chosen = choose_shape(early, late, plain, progress)
    report = chosen.report | {"cases": len(cases), "held_out_cases": len(late), "view": plan.view}
    if not chosen.beats_plain:
        return Learnt(plain, served=False, report=report | {"why": "it did not beat the plain blend"})
    config = with_curves(plain, chosen.shape.fit(cases), cases, f"learnt-{plan.view}")
    return Learnt(config, served=True, report=report)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The shape that did best on held-out cases, whether it beat the plain blend, and all that was tried."""

    shape: Shape
    beats_plain: bool
    report: dict[str, object]


def choose_shape(
    early: TrainingCases,
    late: TrainingCases,
    plain: RankingConfig,
    progress: Callable[[str, int], None] = lambda _what, _done: None,
) -> Choice:
    """Fit each shape to `early` and take the one of highest NDCG@10 on `late`, of those that find at least as
    many cold assets as their text alone would, where that can be told and does not cost too much. Where it
    does, the one that finds most of them is taken, of those that are ahead of the plain blend.
    """
    text = late.values[TERMS.index("interest_long")].astype(np.float64)
    floor = _cold_hits(text, late)
    floor = int(np.ceil(COLD_MARGIN * floor)) if floor >= LEAST_COLD_HITS else 0
    scores = scores_of(late.values, plain.curves, plain.weights, plain.unproven_curves)
    base, plain_cold = float(ndcg_of(scores, late).mean()), _cold_hits(scores, late)
    tried: list[tuple[Shape, float, int]] = []

    def attempt(shape: Shape) -> None:
        found = shape.fit(early).scores(late.values)
        tried.append((shape, float(ndcg_of(found, late).mean()), _cold_hits(found, late)))
        progress("fit", len(tried))

    for shape in SHAPES:
        attempt(shape)
    best = max(tried, key=lambda t: t[1])
    if best[2] < floor:
        heeding = best[0] if best[0].unproven_bends is not None else SHAPES[-1]
        for weight in COLD_WEIGHTS:
            attempt(replace(heeding, cold_weight=weight))
            if tried[-1][2] >= floor:
                break
    # Where the plain blend finds the cold ones, nothing is to be paid for them.
    bar = base if plain_cold >= floor else COLD_PRICE * base
    enough = [t for t in tried if t[2] >= floor and t[1] > bar]
    ahead = [t for t in tried if t[1] > base and plain_cold < floor]
    if enough:
        best = max(enough, key=lambda t: t[1])
    elif ahead:
        best = max(ahead, key=lambda t: (t[2], t[1]))
    report: dict[str, object] = {
        "plain_ndcg_at_10": base,
        "learnt_ndcg_at_10": best[1],
        "cold_hits_of_text": _cold_hits(text, late),
        "cold_hits_of_plain": plain_cold,
        "cold_hits_of_learnt": best[2],
        "chosen": asdict(best[0]),
        "tried": [asdict(s) | {"held_out_ndcg_at_10": n, "held_out_cold_hits": c} for s, n, c in tried],
    }
    return Choice(best[0], bool(enough or ahead), report)


def _cold_hits(scores: Floats, cases: TrainingCases) -> int:
    """How many cold assets stand among the first ten of their case."""
    return int((middle_ranks(scores, cases)[cases.cold] <= TOP).sum())


def with_curves(plain: RankingConfig, blend: Blend, cases: TrainingCases, name: str) -> RankingConfig:
    """The plain configuration with fitted curves, scaled so that scores spread as before: the weights of
    terms the log says nothing of, penalties and rules then keep their meaning.
    """
    fitted = blend.scores(cases.values)
    weights = np.array([w if t in blend.curves else 0.0 for t, w in zip(TERMS, plain.weights, strict=True)])
    before = scores_of(cases.values, {}, weights.tolist())
    scale = float(before.std() / max(float(fitted.std()), 1e-9)) or 1.0
    return replace(
        plain,
        name=name,
        version=plain.version + 1,
        weights=tuple(
            round(scale, 6) if t in blend.curves else w for t, w in zip(TERMS, plain.weights, strict=True)
        ),
        curves=dict(plain.curves) | dict(blend.curves),
        unproven_curves=dict(plain.unproven_curves) | dict(blend.unproven),
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
        log.catalogue,
        log.events,
        kinds,
        config,
        start=start,
        end=plan.until,
        refresh_seconds=plan.refresh_days * DAY,
        only_back_catalogue=back,
        every=stride,
    )
    for case in run:
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


def part_of(cases: TrainingCases, start: int, end: int) -> TrainingCases:
    """The cases from `start` up to `end`."""
    first = int(cases.lengths[:start].sum())
    last = first + int(cases.lengths[start:end].sum())
    return TrainingCases(cases.values[:, first:last], cases.lengths[start:end], cases.target[start:end])
