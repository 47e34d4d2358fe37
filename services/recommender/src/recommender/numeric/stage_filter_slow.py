"""The filter once more, one track in a plain loop: the judge of `stage_filter`, too slow to serve."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
from scipy.linalg import expm

from recommender.domain.stages import DAYS_PER_MONTH, OUTCOMES, SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.stage_tracks import StageSignal


def filter_one_slowly(
    model: StageModel, signals: Iterable[StageSignal], now: float, people: float = 1.0
) -> Floats:
    """Raw posterior [S] at `now` of one track, the formula written out."""
    kept = _kept(model, signals, now)
    p = model.start.copy()
    if not kept:
        return p
    clock, last_behaviour = kept[0].at, kept[0].at
    for signal in kept:
        p = _silence(model, p, clock - last_behaviour, signal.at - last_behaviour, people)
        clock = signal.at
        p = _signal(model, p, signal)
        if signal.type not in OUTCOMES:
            last_behaviour = signal.at
    return _silence(model, p, clock - last_behaviour, now - last_behaviour, people, resting=True)


def _kept(model: StageModel, signals: Iterable[StageSignal], now: float) -> list[StageSignal]:
    seen: Counter[tuple[str, int]] = Counter()
    kept = []
    for signal in sorted(signals, key=lambda s: (s.at, model.signal_index.get(s.type, -1), -s.weight)):
        if signal.type not in model.signal_index or signal.weight == 0:
            continue
        if not model.filter.earliest <= signal.at <= now:
            continue
        day = (signal.type, int(signal.at // SECONDS_PER_DAY))
        seen[day] += 1
        if seen[day] <= model.filter.cap_per_type_and_day:
            kept.append(signal)
    return kept[-model.filter.most_signals :]


def _power(model: StageModel, kind: str) -> float:
    return float(model.signal_powers[model.signal_index[kind]])


def _signal(model: StageModel, p: Floats, signal: StageSignal) -> Floats:
    rules = model.outcomes
    if signal.type == "opportunity_opened":
        p = p * rules.opened
    elif signal.type == "opportunity_won":
        p = (1 - rules.won_share) * p
        p[rules.won_to] += rules.won_share
    elif signal.type == "opportunity_lost":
        p = p.copy()
        moved = rules.lost_share * p[rules.lost_from]
        p[rules.lost_from] -= moved
        p[rules.lost_to] += moved
    else:
        p = p * model.rates[model.signal_index[signal.type]] ** (_power(model, signal.type) * signal.weight)
    return np.asarray(p / p.sum())


def _silence(
    model: StageModel, p: Floats, from_age: float, to_age: float, people: float, *, resting: bool = False
) -> Floats:
    settings = model.filter
    moves, loud = model.generator, model.rates.sum(axis=0)
    if resting:
        moves, loud = _nobody_climbs(model, moves, loud)
    fade = settings.silence_fade_days
    edges = [0.0, *settings.cut_ages_days, np.inf]
    for low, high in itertools.pairwise(edges):
        begin, end = max(low, from_age / SECONDS_PER_DAY), min(high, to_age / SECONDS_PER_DAY)
        if end <= begin:
            continue
        weight = 0.0 if high == np.inf else fade * (np.exp(-low / fade) - np.exp(-high / fade)) / (high - low)
        silence = settings.silence_weight * weight * max(people, 1.0) ** settings.people_exponent
        generator = moves - silence * np.diag(loud)
        p = p @ expm(generator * (end - begin) / DAYS_PER_MONTH)
        p = p / p.sum()
    return p


def _nobody_climbs(model: StageModel, moves: Floats, loud: Floats) -> tuple[Floats, Floats]:
    """The generator and Σλ of a silence that nothing has ended yet."""
    ladder = list(model.filter.ladder)
    if not ladder:
        return moves, loud
    moves, loud = moves.copy(), loud.copy()
    for i, j in itertools.permutations(range(len(loud)), 2):
        higher = j in ladder and (i not in ladder or ladder.index(i) < ladder.index(j))
        if higher:
            moves[i, i] += moves[i, j]
            moves[i, j] = 0.0
    for lower, rung in itertools.pairwise(ladder):
        loud[rung] = max(loud[rung], loud[lower])
    for state in range(len(loud)):
        if state not in ladder:
            loud[state] = min(loud[state], loud[ladder[0]])
    return moves, loud
