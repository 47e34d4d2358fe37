"""Chooses the ranking's constants and plain weights on a log, one at a time, on days that come after those
that the weights are fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from recommender.domain.ranking_config import TERMS, RankingConfig
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.learning import Floats, TrainingCases, fit_curves, ndcg_of, scores_of
from recommender.service.evaluation_data import Log, before
from recommender.service.ranking_learning import LearningPlan, gather_cases, part_of
from recommender.service.split_cases import split_cases

RIDGE = 30.0
SHARES = (0.0, 0.5, 0.8, 1.0)
"""How far the weights go from the ones that stood before to the fitted ones."""
LEAST_GAIN = 1.005
"""What a new value must bring to replace the old one: less is chance."""
MOST_WEIGHT = 1.5
"""A plain weight stays below this: else a log that is a news feed would have freshness drown the stage."""

Change = Callable[[RankingConfig], RankingConfig]
Views = Mapping[str, tuple[TrainingCases, TrainingCases]]


def _half_lives(factor: float) -> Change:
    return lambda c: replace(c, popularity_half_lives=tuple(factor * h for h in c.popularity_half_lives))


def _interest(**values: float) -> Change:
    return lambda c: replace(c, interest=replace(c.interest, **values))  # type: ignore[arg-type]


CONSTANTS: tuple[tuple[str, Change], ...] = (
    ("popularity half-lives × 0.5", _half_lives(0.5)),
    ("popularity half-lives × 0.25", _half_lives(0.25)),
    ("popularity half-lives × 2", _half_lives(2.0)),
    ("interest half-lives 3 and 60 days", _interest(recent_half_life_days=3.0, long_half_life_days=60.0)),
    ("interest half-lives 14 and 240 days", _interest(recent_half_life_days=14.0, long_half_life_days=240.0)),
    ("attention temperature 0.05", _interest(attention_temperature=0.05)),
    ("attention temperature 0.2", _interest(attention_temperature=0.2)),
    ("8 engagements attended", _interest(attended=8)),
    ("20 engagements attended", _interest(attended=20)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """`config` with the constants and plain weights that did best; `tried`: one row a trial, in order."""

    config: RankingConfig
    tried: list[dict[str, object]]


def choose_ranking(
    log: Log,
    kinds: SignalKinds,
    start: RankingConfig,
    *,
    until: float,
    days: float = 45.0,
    most_cases: int = 1_500,
    constants: tuple[tuple[str, Change], ...] = CONSTANTS,
    progress: Callable[[str, int], None] = lambda _what, _done: None,
) -> Chosen:
    """Choose on what comes before `until` (epoch seconds).

    Every trial gathers cases of three views (all candidates, back catalogue, random split) from the last
    `days`, fits weights to the earlier three quarters and looks at NDCG@10 on the rest. First the constants,
    judged by blends fitted under them; then the plain weights, judged as they stand.
    """
    log = before(log, until)
    plan = LearningPlan(until=until, days=days, most_cases=most_cases, refresh_days=3.0)
    tried: list[dict[str, object]] = []

    def gathered(config: RankingConfig) -> Views:
        found = {}
        for view in ("all", "back"):
            cases = gather_cases(log, kinds, config, replace(plan, view=view), progress)
            cut = int(0.75 * len(cases))
            if cut:
                found[view] = part_of(cases, 0, cut), part_of(cases, cut, len(cases))
        found["random"] = split_cases(log, kinds, config)
        return {v: (e, t) for v, (e, t) in found.items() if len(e) and len(t)}

    def note(what: str, kind: str, figures: Mapping[str, float], worth: float) -> None:
        row = {f"{v}_ndcg_at_10": f for v, f in figures.items()}
        tried.append({"what": what, "kind": kind, "worth": worth, **row})
        progress("choose", len(tried))

    best, views = start, gathered(start)
    reference = {v: _fitted_ndcg(e, t) for v, (e, t) in views.items()}
    note("as it stands", "constant", reference, 1.0)
    best_worth = 1.0
    for name, change in constants:
        candidate = change(best)
        own = gathered(candidate)
        figures = {v: _fitted_ndcg(e, t) for v, (e, t) in own.items()}
        worth = _worth(figures, reference)
        note(name, "constant", figures, worth)
        if worth > best_worth * LEAST_GAIN:
            best, views, best_worth = candidate, own, worth
            tried[-1]["kept"] = True
    config, kept = _choose_weights(best, views, note)
    for row in tried:
        if row["what"] == kept:
            row["kept"] = True
    return Chosen(config, tried)


def _choose_weights(
    config: RankingConfig, views: Views, note: Callable[[str, str, Mapping[str, float], float], None]
) -> tuple[RankingConfig, str]:
    """Between the weights that stand and those fitted to all views alike, and which step that was."""
    fitted = _fitted_weights(config, {v: early for v, (early, _) in views.items()})
    reference: dict[str, float] = {}
    best, best_worth, chosen = config, 0.0, ""
    for share in SHARES:
        mixed = (1 - share) * np.asarray(config.weights) + share * fitted
        weights = tuple(round(float(w), 3) for w in mixed)
        figures = {
            v: float(ndcg_of(scores_of(t.values, config.curves, weights, config.unproven_curves), t).mean())
            for v, (_, t) in views.items()
        }
        reference = reference or figures
        worth = _worth(figures, reference)
        what = f"{share:.0%} of the way to the fitted weights"
        note(what, "weights", figures, worth)
        if worth > best_worth * LEAST_GAIN:
            best, best_worth = replace(config, weights=weights), worth
            chosen = what
    return best, chosen


def _fitted_weights(config: RankingConfig, views: Mapping[str, TrainingCases]) -> Floats:
    """Slopes of a blend without bends, the mean over the views, none below 0, on the scale of the weights
    that stand; a term that no view says anything of keeps its weight.
    """
    old = np.asarray(config.weights)
    total, counted = np.zeros(len(TERMS)), np.zeros(len(TERMS))
    for cases in views.values():
        curves = fit_curves(cases, ridge=RIDGE, knots=0).curves
        slopes = np.array([c.y[-1] if (c := curves.get(t)) is not None else np.nan for t in TERMS])
        known = np.isfinite(slopes)
        slopes = np.where(known, np.maximum(slopes, 0.0), 0.0)
        spread = scores_of(cases.values, {}, slopes.tolist()).std()
        before = scores_of(cases.values, {}, np.where(known, old, 0.0).tolist()).std()
        total += slopes * float(before / max(float(spread), 1e-9))
        counted += known
    mean = np.minimum(total / np.maximum(counted, 1.0), MOST_WEIGHT)
    fitted: Floats = np.where(counted > 0, mean, old)
    return fitted


def _fitted_ndcg(early: TrainingCases, late: TrainingCases) -> float:
    blend = fit_curves(early, ridge=RIDGE, knots=4)
    return float(ndcg_of(blend.scores(late.values), late).mean())


def _worth(figures: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """The geometric mean, over the views, of what was reached relative to the reference."""
    ratios = [max(figures[v], 1e-6) / max(reference[v], 1e-6) for v in reference if v in figures]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else 0.0
