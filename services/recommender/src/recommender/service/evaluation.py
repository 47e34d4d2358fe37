"""Evaluates the ranking on a log, rolling in time, beside plain methods, on the code that serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recommender.domain.ranking_config import AgainSettings, RankingConfig
from recommender.domain.ranking_request import TIERS, RankRequest
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.baselines import Baselines
from recommender.numeric.candidates import VectorSearch
from recommender.numeric.ranking_metrics import (
    TOP,
    MethodResult,
    Resampling,
    per_case,
    rank_of,
    resampling,
    summary,
)
from recommender.numeric.selection import top
from recommender.numeric.text_space import take_means_from
from recommender.service.evaluation_data import Log
from recommender.service.evaluation_replay import BACK_CATALOGUE_DAYS, DAY, Case, candidates, replay
from recommender.service.ranker import recommend_block
from recommender.service.ranking_score import score_everything

OURS = "foreword"
PLAIN = "foreword, plain blend"
EVERYTHING = "foreword, every asset scored"
TEXT_BASELINES = ("TF-IDF profile", "MiniLM profile")
VIEWS = ("all", "back")
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """`rows`: one dict a method, ours first, as written to JSON; `cases`: one dict a case; `facts` of the
    run.
    """

    rows: list[dict[str, object]]
    cases: list[dict[str, object]]
    facts: dict[str, object]


@dataclass(slots=True, eq=False)
class _Tally:
    """Ranks and covered rows of one method as cases go by."""

    ranks: list[float]
    covered: NDArray[np.bool_]


def evaluate_log(
    log: Log,
    search: VectorSearch,
    kinds: SignalKinds,
    configs: dict[str, RankingConfig],
    *,
    start: float,
    end: float,
    view: str,
    seed: int = 0,
    progress: Progress = lambda _what, _done: None,
) -> Evaluation:
    """Replay [start, end) (epoch seconds) and rank before each case.

    `configs` by row name; the one named OURS is also judged without candidate generation. Exploration is
    off, so that an answer is what the ranking thinks best. The catalogue needs vectors. Raises ValueError
    if there is no case in the window.
    """
    back = view == "back"
    catalogue = replace(log.catalogue)  # one of its own, so that no other keeps what is known of it here
    log = replace(log, catalogue=catalogue)
    take_means_from(catalogue, catalogue.publish_at < start)
    quiet = {n: _quiet(c) for n, c in configs.items()}
    tallies: dict[str, _Tally] = {}
    buyers: list[int] = []
    lines: list[dict[str, object]] = []
    kept_first = kept_all = 0
    for case, baseline_scores in _with_baselines(log, kinds, configs[OURS], start, end, back, seed):
        rows = candidates(catalogue, case, back_catalogue=back)
        mask = catalogue.published_at <= case.now - BACK_CATALOGUE_DAYS * DAY if back else None
        request = RankRequest(profile=case.profile, count=TOP, filter_mask=mask)
        position = int(np.searchsorted(rows, case.row))
        ranked: dict[str, tuple[float, NDArray[np.int64]]] = {}
        tier = ""
        for name, config in quiet.items():
            answer = recommend_block(catalogue, search, case.behaviour, config, [request], case.now)[0]
            shown = np.array([catalogue.row_of[item.asset_id] for item in answer.items], dtype=np.int64)
            place = np.flatnonzero(shown == case.row)
            ranked[name] = (float(place[0]) + 1.0 if len(place) else np.inf, shown)
            if name == OURS:
                tier = answer.tier
                scores = score_everything(catalogue, case.behaviour, config, request, rows, case.now)
                full = rank_of(scores, position)
                best = rows[top(scores, TOP)]
                ranked[EVERYTHING] = (full, best)
                kept_first += len(np.intersect1d(best, shown))
                kept_all += len(best)
                if np.isinf(ranked[name][0]):  # beyond the answer, the place its score gives it
                    ranked[name] = (max(full, TOP + 1.0), shown)
        for name, plain in baseline_scores.items():
            own = plain[rows]
            ranked[name] = (rank_of(own, position), rows[top(own, TOP)])
        for name, (rank, best) in ranked.items():
            tally = tallies.setdefault(name, _Tally([], np.zeros(len(catalogue), dtype=np.bool_)))
            tally.ranks.append(rank)
            tally.covered[best] = True
        buyers.append(case.buyer)
        lines.append(_line(log, case, tier, len(rows), {n: r for n, (r, _) in ranked.items()}))
        progress(view, len(lines))
    if not lines:
        raise ValueError("there is no first engagement with a published asset in this window")
    return _evaluation(log, buyers, tallies, lines, seed, kept_first / max(1, kept_all))


def _quiet(config: RankingConfig) -> RankingConfig:
    """Without chance, and without what was engaged with before: a case asks for something new."""
    rerank = replace(config.rerank, explore_share=0.0)
    return replace(config, rerank=rerank, again=AgainSettings())


def _with_baselines(
    log: Log, kinds: SignalKinds, config: RankingConfig, start: float, end: float, back: bool, seed: int
) -> Iterator[tuple[Case, dict[str, NDArray[np.floating]]]]:
    """Cases with every baseline's scores; the baselines learn from the same signals, anew each day."""
    catalogue, events = log.catalogue, log.events
    engagement = np.asarray(kinds.engagement)[events.kind] * events.weight
    rows = np.array([catalogue.row_of.get(n, -1) for n in events.names], dtype=np.int64)[events.asset]
    baselines = Baselines([c.title for c in catalogue.cards], catalogue.vectors, catalogue.published_at, seed)
    seen: set[tuple[int, int]] = set()
    fed, learnt_at = 0, -np.inf
    first_rows: list[int] = []
    for case in replay(catalogue, events, kinds, config, start=start, end=end, only_back_catalogue=back):
        for i in range(fed, case.known_events):
            row, pair = int(rows[i]), (int(events.buyer[i]), int(events.asset[i]))
            if row < 0 or engagement[i] <= 0:
                continue
            at = float(events.at[i])
            baselines.every.add(row, at)
            if pair not in seen:
                seen.add(pair)
                baselines.firsts.add(row, at)
                first_rows.append(i)
        fed = case.known_events
        if case.now - learnt_at >= DAY:
            baselines.learn(events.buyer[first_rows], rows[first_rows])
            learnt_at = case.now
        yield case, baselines.scores(case.engaged, case.now)


def _line(log: Log, case: Case, tier: str, among: int, ranks: dict[str, float]) -> dict[str, object]:
    return {
        "buyer": log.buyers[case.buyer],
        "asset_id": log.catalogue.cards[case.row].asset_id,
        "at": case.now,
        "tier": tier,
        "candidates": among,
        "engagements_before": case.engagements,
        "cold": case.is_cold,
        "age_days": round(case.age_days, 3),
        "history": len(case.profile.asset_ids),
        "ranks": ranks,
    }


def _evaluation(
    log: Log,
    case_buyers: list[int],
    tallies: dict[str, _Tally],
    lines: list[dict[str, object]],
    seed: int,
    kept: float,
) -> Evaluation:
    buyers = np.array(case_buyers, dtype=np.int64)
    draws = resampling(buyers, np.random.default_rng(seed))
    groups = {
        "cold": np.array([line["cold"] for line in lines], dtype=np.bool_),
        "new_buyer": np.array([not line["history"] for line in lines], dtype=np.bool_),
    }
    groups |= {
        f"tier {t}": chosen
        for t in TIERS
        if (chosen := np.array([line["tier"] == t for line in lines])).any()
    }
    results = {n: MethodResult(n, np.array(t.ranks), t.covered) for n, t in tallies.items()}
    rows = [summary(result, draws, groups) for result in results.values()]
    cold = groups["cold"]
    facts: dict[str, object] = {
        "buyers": len(np.unique(buyers)),
        "cases": len(lines),
        "cold_share": float(cold.mean()),
        "signals_without_asset": log.unnamed,
        "signals_of_missing_assets": log.missing,
        "signals_before_publication": log.early,
        "ratio_to_best_baseline": ratios_to_best(results, draws),
        "kept_of_top_10_by_candidate_generation": kept,
        "cold_hits": {
            n: int(per_case(r.ranks)["recall_at_10"][cold].sum())
            for n, r in results.items()
            if n in TEXT_BASELINES or n.startswith(OURS)
        },
    }
    return Evaluation(rows, lines, facts)


def ratios_to_best(results: dict[str, MethodResult], draws: Resampling) -> dict[str, object]:
    """For each figure: the best plain method, our ratio to it, and the ratio's interval over the same
    buyers.
    """
    plain = [r for n, r in results.items() if not n.startswith(OURS)]
    ratios: dict[str, object] = {}
    for figure in ("ndcg_at_10", "recall_at_10", "mrr"):
        ours = per_case(results[OURS].ranks)[figure]
        best = max(plain, key=lambda r: float(per_case(r.ranks)[figure].mean()))
        other = per_case(best.ranks)[figure]
        ratios[figure] = {
            "baseline": best.name,
            "ratio": float(ours.mean() / max(float(other.mean()), 1e-12)),
            "ci": list(draws.ratio_interval(ours, other)),
        }
    return ratios
