"""The filter: from signals to a distribution over buying states, for many tracks at once.

A Markov-modulated Poisson filter in continuous time. The hidden state moves by the generator Q and sets the
rate λ of each signal, so both a signal and its absence are evidence. `stage_filter_slow` is its obvious twin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recommender.domain.stages import OUTCOMES, Floats, StageModel
from recommender.numeric.stage_silence import silence_overlaps, silence_transitions
from recommender.numeric.stage_tracks import Ints, PreparedTracks, Tracks, prepare_tracks


@dataclass(frozen=True, slots=True, eq=False)
class FilterTrace:
    """The estimate [N, S] just before and just after each prepared signal, in their order."""

    before: Floats
    after: Floats


def filter_tracks(model: StageModel, tracks: Tracks, now: ArrayLike) -> Floats:
    """Raw posterior p [B, S] at `now` ([B] or one number, seconds since the epoch); rows sum to 1.

    A function of the set of signals: any order gives the same bits. Signals after `now` have not happened
    yet. A track without a signal that counts is at the model's start.
    """
    return filter_prepared(model, prepare_tracks(model, tracks, now))


def filter_prepared(model: StageModel, tracks: PreparedTracks) -> Floats:
    """As `filter_tracks`, for tracks that are prepared already."""
    return _run(model, tracks, None)


def trace_prepared(model: StageModel, tracks: PreparedTracks) -> tuple[Floats, FilterTrace]:
    """The posterior and every estimate on the way to it."""
    shape = (len(tracks.at), len(model.states))
    trace = FilterTrace(np.empty(shape), np.empty(shape))
    return _run(model, tracks, trace), trace


def silence_only(model: StageModel, p: Floats, age: Floats, duration: Floats, people: Floats) -> Floats:
    """p [B, S] after `duration` [B] seconds more without a signal, the last being `age` [B] seconds old."""
    overlaps = silence_overlaps(model.filter, age, duration)
    moved = np.matmul(p[:, None, :], silence_transitions(model, np.maximum(people, 1.0), overlaps))[:, 0, :]
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


def _run(model: StageModel, tracks: PreparedTracks, trace: FilterTrace | None) -> Floats:
    layout = _by_step(tracks)
    kind = tracks.type[layout.signals]
    silences = _silences_between(model, tracks)[layout.signals]
    transitions = silence_transitions(model, tracks.people[layout.track_of], silences)
    factors = _factors(model, kind, tracks.weight[layout.signals])
    moves = _outcome_moves(model)
    with_outcome = (
        set(np.flatnonzero(np.add.reduceat(np.isin(kind, list(moves)), layout.begins[:-1])))
        if len(kind)
        else set()
    )
    p = np.tile(model.start, (len(tracks), 1))  # rows in the layout's order: tracks with most signals first
    for step, (begin, end) in enumerate(zip(layout.begins, layout.begins[1:], strict=False)):
        silent = np.matmul(p[: end - begin, None, :], transitions[begin:end])[:, 0, :]
        after = silent * factors[begin:end]
        if step in with_outcome:
            for outcome, move in moves.items():
                hit = np.flatnonzero(kind[begin:end] == outcome)
                after[hit] = np.einsum("bi,ij->bj", silent[hit], move)
        total = after.sum(axis=1, keepdims=True)
        np.divide(after, total, out=p[: end - begin], where=total > 0)
        if trace is not None:
            trace.before[layout.signals[begin:end]] = silent / silent.sum(axis=1, keepdims=True)
            trace.after[layout.signals[begin:end]] = p[: end - begin]
    result = np.empty_like(p)
    result[layout.tracks] = p
    some = np.flatnonzero(np.diff(tracks.offsets))
    last = tracks.offsets[1:][some] - 1
    age = tracks.at[last] - tracks.anchor[last]
    result[some] = silence_only(
        model, result[some], age, tracks.now[some] - tracks.at[last], tracks.people[some]
    )
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Signals reordered so that step j of every track that has one stands together.

    tracks [B]: most signals first. signals [N]: prepared signals, by step and then by place in `tracks`;
    track_of [N] the track of each. begins [steps + 1] into `signals`: step j covers the first
    begins[j + 1] − begins[j] of `tracks`.
    """

    tracks: NDArray[np.intp]
    signals: NDArray[np.intp]
    track_of: NDArray[np.intp]
    begins: list[int]


def _by_step(tracks: PreparedTracks) -> _Layout:
    counts = np.diff(tracks.offsets)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    track_of = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(tracks.at)) - tracks.offsets[track_of]
    signals = np.lexsort((place[track_of], step))
    begins = np.concatenate(([0], np.cumsum(np.bincount(step)))) if len(step) else np.zeros(1, dtype=np.int64)
    return _Layout(order, signals, track_of[signals], begins.tolist())


def _silences_between(model: StageModel, tracks: PreparedTracks) -> Floats:
    """Seconds [N, G] of silence before each signal, by segment; none before a track's first."""
    gap = np.zeros(len(tracks.at))
    age = np.zeros(len(tracks.at))
    gap[1:] = np.diff(tracks.at)
    age[1:] = tracks.at[:-1] - tracks.anchor[:-1]
    first = tracks.offsets[:-1][np.diff(tracks.offsets) > 0]
    gap[first] = 0.0
    age[first] = 0.0
    return silence_overlaps(model.filter, age, gap)


def _factors(model: StageModel, kind: Ints, weight: Floats) -> Floats:
    """What each signal multiplies p by: λ^(τ·weight), or an opened opportunity's factors. Shape [N, S]."""
    settings = model.filter
    powers = np.concatenate(
        (np.log(model.rates) * settings.signal_power, np.zeros((len(OUTCOMES), len(model.states))))
    )
    powers[model.signal_index["opportunity_opened"]] = np.log(model.outcomes.opened)
    exponent = np.where(kind < len(model.signal_types), weight, 1.0)
    logs = powers[kind] * exponent[:, None]
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf)))


def _outcome_moves(model: StageModel) -> dict[int, NDArray[np.float64]]:
    """Matrices [S, S] of the outcomes that move probability instead of weighing it, by type index.

    Won: `share` of everything goes to one state, so that it holds at least this share. Lost: `share` of one
    state goes to another.
    """
    outcomes, count = model.outcomes, len(model.states)
    won = (1.0 - outcomes.won_share) * np.eye(count)
    won[:, outcomes.won_to] += outcomes.won_share
    lost = np.eye(count)
    lost[outcomes.lost_from, outcomes.lost_from] -= outcomes.lost_share
    lost[outcomes.lost_from, outcomes.lost_to] += outcomes.lost_share
    return {model.signal_index["opportunity_won"]: won, model.signal_index["opportunity_lost"]: lost}
