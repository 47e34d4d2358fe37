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

RESCALED_EVERY = 4


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
    return trace_prepared(model, tracks)[0]


def trace_prepared(model: StageModel, tracks: PreparedTracks) -> tuple[Floats, FilterTrace]:
    """The posterior [B, S] and every estimate on the way to it: the way costs next to nothing."""
    silences = silence_transitions(
        model, np.repeat(tracks.people, np.diff(tracks.offsets)), _silences_between(model, tracks)
    )
    factors = _factors(model, tracks.type, tracks.weight)
    steps = silences * factors[:, None, :]
    for outcome, move in _outcome_moves(model).items():
        hit = np.flatnonzero(tracks.type == outcome)
        steps[hit] = np.matmul(silences[hit], move)
    p = np.tile(model.start, (len(tracks), 1))
    after, came = np.empty((len(tracks.at), len(model.states))), np.empty((len(tracks.at), len(model.states)))
    for track in np.flatnonzero(np.diff(tracks.offsets)).tolist():
        begin, end = int(tracks.offsets[track]), int(tracks.offsets[track + 1])
        _walk(model.start, steps[begin:end], after[begin:end])
        came[begin] = model.start
        came[begin + 1 : end] = after[begin : end - 1]
        p[track] = after[end - 1]
    before = np.matmul(came[:, None, :], silences)[:, 0, :]
    trace = FilterTrace(before / before.sum(axis=1, keepdims=True), after)
    some = np.flatnonzero(np.diff(tracks.offsets))
    last = tracks.offsets[1:][some] - 1
    age = tracks.at[last] - tracks.anchor[last]
    p[some] = silence_only(model, p[some], age, tracks.now[some] - tracks.at[last], tracks.people[some])
    return p, trace


def _walk(start: Floats, steps: Floats, after: Floats) -> None:
    """p after each of the steps [N, S, S] of one track, written to `after` [N, S], rows summing to 1.

    One short product a signal: for a handful of states a loop over signals costs less than stepping many
    tracks at once, and gives one track the same bits alone and in a batch. Rescaling every few steps keeps
    the products from underflowing; a step that leaves nothing at all is passed over.
    """
    p = start
    for i, (step, row) in enumerate(zip(steps, after, strict=True)):
        np.dot(p, step, out=row)
        if i % RESCALED_EVERY == 0:
            total = row.sum()
            if total > 0:
                row /= total
            else:
                row[:] = p
        p = row
    totals = after.sum(axis=1, keepdims=True)
    np.divide(after, totals, out=after, where=totals > 0)


def silence_only(model: StageModel, p: Floats, age: Floats, duration: Floats, people: Floats) -> Floats:
    """p [B, S] after `duration` [B] seconds more without a signal, the last being `age` [B] seconds old.

    Nothing has been heard since, so nobody is counted up: the intent states lose with every day.
    """
    overlaps = silence_overlaps(model.filter, age, duration)
    transitions = silence_transitions(model, np.maximum(people, 1.0), overlaps, resting=True)
    moved = np.matmul(p[:, None, :], transitions)[:, 0, :]
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


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
    """What each signal multiplies p by: λ^(power·weight), or an opened opportunity. Shape [N, S]."""
    powers = np.concatenate(
        (np.log(model.rates) * model.signal_powers[:, None], np.zeros((len(OUTCOMES), len(model.states))))
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
