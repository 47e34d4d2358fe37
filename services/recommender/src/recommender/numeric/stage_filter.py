"""The filter: from signals to a distribution over buying states, for many tracks at once.

A Markov-modulated Poisson filter in continuous time. The hidden state moves by the generator Q and sets the
rate λ of each signal, so both a signal and its absence are evidence. `stage_filter_slow` is its obvious twin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recommender.domain.stages import OUTCOMES, Floats, StageModel
from recommender.numeric.stage_silence import SilenceKernel
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
    kernel = SilenceKernel(model, np.maximum(people, 1.0))
    return _silence(kernel, p.copy(), kernel.overlaps(age, duration))


def _run(model: StageModel, tracks: PreparedTracks, trace: FilterTrace | None) -> Floats:
    counts = np.diff(tracks.offsets)
    longest_first = np.argsort(-counts, kind="stable")
    counts, begins = counts[longest_first], tracks.offsets[:-1][longest_first]
    kernel = SilenceKernel(model, tracks.people[longest_first])
    p = np.tile(model.start, (len(counts), 1))
    factors = _factors(model, tracks.type, tracks.weight)
    moves = _outcome_moves(model)
    overlaps = _silences_between(kernel, tracks)
    quiet = ~overlaps.any(axis=1)
    for step in range(int(counts[0]) if len(counts) else 0):
        active = int(np.searchsorted(-counts, -step, side="left"))  # tracks that still have a signal
        signals = begins[:active] + step
        if step and not (active == 1 and quiet[signals[0]]):
            p[:active] = _silence(kernel, p[:active], overlaps[signals])
        if trace is not None:
            trace.before[signals] = p[:active]
        after = p[:active] * factors[signals]
        for kind, move in moves.items():
            hit = np.flatnonzero(tracks.type[signals] == kind)
            if len(hit):
                after[hit] = np.einsum("bi,ij->bj", p[hit], move)
        p[:active] = after / after.sum(axis=1, keepdims=True)
        if trace is not None:
            trace.after[signals] = p[:active]
    some = int(np.searchsorted(-counts, 0, side="left"))
    last = begins[:some] + counts[:some] - 1
    age = tracks.at[last] - tracks.anchor[last]
    since = tracks.now[longest_first][:some] - tracks.at[last]
    p[:some] = _silence(kernel, p[:some], kernel.overlaps(age, since))
    result = np.empty_like(p)
    result[longest_first] = p
    return result


def _silence(kernel: SilenceKernel, p: Floats, overlaps: Floats) -> Floats:
    """p [M, S] of the kernel's first M tracks after the seconds [M, G] of each segment, youngest age first."""
    touched = overlaps > 0
    for segment in np.flatnonzero(touched.any(axis=0)):
        rows = np.flatnonzero(touched[:, segment])
        if len(rows) == len(p):
            p = kernel.step(p, slice(0, len(p)), int(segment), overlaps[:, segment])
        else:
            p = p.copy()
            p[rows] = kernel.step(p[rows], rows, int(segment), overlaps[rows, segment])
    return p


def _silences_between(kernel: SilenceKernel, tracks: PreparedTracks) -> Floats:
    """Seconds [N, G] of silence before each signal; those of a track's first are never used."""
    gap = np.zeros(len(tracks.at))
    age = np.zeros(len(tracks.at))
    if len(gap):
        gap[1:] = np.maximum(np.diff(tracks.at), 0.0)
        age[1:] = tracks.at[:-1] - tracks.anchor[:-1]
    return kernel.overlaps(np.maximum(age, 0.0), gap)


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
