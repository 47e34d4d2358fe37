"""What silence does: the chain moves on, and states that would have been heard from lose probability.

During silence the unnormalised p obeys dp/dt = p·A with A = Q − κ·w(age)·n^ρ·diag(Σλ), where w(age) falls
as exp(−age/H). The ages are cut into segments and w is replaced by its mean over each, 0 after the last cut:
the evidence of silence saturates there. With one A per segment, silence over a + b is silence over a and then
over b, so an estimate does not depend on when it was looked at.

There are two kinds of silence. Between two signals the chain moves by all of Q: who comes back may have got
further meanwhile. After the last one it is `resting`: nobody is counted up the ladder for saying nothing, and
no state off the ladder is held to be louder than its first rung. So P(D), P(C + D) and P(A + C + D) fall with
every further day, whatever was known before: see `resting_generator`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from recommender.domain.stages import DAYS_PER_MONTH, SECONDS_PER_DAY, FilterSettings, Floats, StageModel

SECONDS_PER_MONTH = DAYS_PER_MONTH * SECONDS_PER_DAY
WORST_CONDITION = 1e6
"""Above this condition number of the eigenvectors a segment is not diagonalised but exponentiated."""
FAINT = 12.0
"""A state that silence takes e^12 from in a step could drown in cancellation; such steps use expm too."""
CHUNK = 4096
"""Silences worked out at once, so that what they need stays in the cache."""


def segment_bounds(settings: FilterSettings) -> tuple[Floats, Floats]:
    """Ages at which each segment of silence begins and ends, in seconds; the last never ends. Two [G]."""
    cuts = np.array(settings.cut_ages_days, dtype=np.float64) * SECONDS_PER_DAY
    return np.concatenate(([0.0], cuts)), np.concatenate((cuts, [np.inf]))


def segment_weights(settings: FilterSettings) -> Floats:
    """Mean of exp(−age/H) over each segment; 0 for the last, which never ends. Shape [G]."""
    low, high = segment_bounds(settings)
    fade = settings.silence_fade_days * SECONDS_PER_DAY
    weights = np.zeros(len(low))
    weights[:-1] = fade * (np.exp(-low[:-1] / fade) - np.exp(-high[:-1] / fade)) / (high[:-1] - low[:-1])
    return weights


def silence_generators(model: StageModel, people: float, resting: bool) -> Floats:
    """A of each segment, per month, shifted so that no state that stays silent gains. Shape [G, S, S].

    The shift (the smallest Σλ is taken as 0) changes p by a factor only, and keeps long silences of large
    accounts from underflowing.
    """
    settings = model.filter
    moves, total = model.generator, model.rates.sum(axis=0)
    if resting and settings.ladder:
        moves, total = resting_generator(model), resting_totals(model)
    loss = (total - total.min()) * settings.silence_weight * people**settings.people_exponent
    return moves - segment_weights(settings)[:, None, None] * np.diag(loss)


def resting_generator(model: StageModel) -> Floats:
    """Q without the moves onto a rung of the ladder from below it or from off it. Shape [S, S]."""
    moves = model.generator.copy()
    height = np.zeros(len(model.states))
    for rung, state in enumerate(model.filter.ladder, start=1):
        height[state] = rung
    moves[(height[None, :] > height[:, None])] = 0.0
    np.fill_diagonal(moves, 0.0)
    np.fill_diagonal(moves, -moves.sum(axis=1))
    return moves


def resting_totals(model: StageModel) -> Floats:
    """Σλ [S], made to rise along the ladder and nowhere off it to exceed that of its first rung.

    With `resting_generator` this is what makes silence monotone for every model: of what lies above any
    rung nothing flows in, and it never loses less than what lies below.
    """
    total, ladder = model.rates.sum(axis=0), list(model.filter.ladder)
    total[ladder] = np.maximum.accumulate(total[ladder])
    off = np.setdiff1d(np.arange(len(total)), ladder)
    total[off] = np.minimum(total[off], total[ladder[0]])
    return np.asarray(total)


@dataclass(frozen=True, slots=True, eq=False)
class SilenceMatrices:
    """exp(A·t) = Σ exp(values·t) · projectors in each segment: what is worth keeping between calls.

    generators [G, S, S], values [G, S], projectors [G, S, S²] (complex where a rotation needs it), pace [G]
    the fastest rate at which a state loses mass to silence. `diagonal` is False where some segment resists
    diagonalising.
    """

    generators: Floats
    values: NDArray[Any]
    projectors: NDArray[Any]
    pace: Floats
    diagonal: bool


@lru_cache(maxsize=512)
def silence_matrices(model: StageModel, people: float, resting: bool = False) -> SilenceMatrices:
    """The matrices of a model for a number of known people; about 20 KB each, the last 512 are kept."""
    generators = silence_generators(model, people, resting)
    segments, size, _ = generators.shape
    values, vectors = np.linalg.eig(generators)
    diagonal = bool(np.all(np.linalg.cond(vectors) < WORST_CONDITION))
    inverse = np.linalg.inv(vectors) if diagonal else np.zeros_like(vectors)
    projectors = np.einsum("gik,gkj->gkij", vectors, inverse).reshape(segments, size, size * size)
    if not np.any(np.iscomplex(values)):
        values, projectors = values.real, projectors.real
    pace = -generators.sum(axis=2).min(axis=1)
    return SilenceMatrices(generators, values, projectors, pace, diagonal)


def silence_overlaps(settings: FilterSettings, age: Floats, duration: Floats) -> Floats:
    """Seconds that silences spend in each segment. age, duration [M] ≥ 0, in seconds; returns [M, G]."""
    low, high = segment_bounds(settings)
    begin = np.maximum(age[:, None], low)
    end = np.minimum((age + duration)[:, None], high)
    return np.asarray(np.maximum(end - begin, 0.0))


def silence_transitions(
    model: StageModel, people: Floats, overlaps: Floats, *, resting: bool = False
) -> Floats:
    """What M silences do: p after is p · T, up to a factor. Shape [M, S, S], entries ≥ 0.

    people [M] ≥ 1, overlaps [M, G] seconds in each segment. Each silence is worked out by itself, so that one
    in a batch gives the same bits as one alone.
    """
    size = len(model.states)
    result = np.empty((len(people), size, size))
    distinct, which = np.unique(people, return_inverse=True)
    known = [silence_matrices(model, float(count), resting) for count in distinct]
    months = overlaps / SECONDS_PER_MONTH
    for begin in range(0, len(people), CHUNK):
        rows = slice(begin, begin + CHUNK)
        result[rows] = _through_segments(known, which[rows], months[rows], size)
    return result


def _through_segments(
    known: list[SilenceMatrices], which: NDArray[np.intp], months: Floats, size: int
) -> Floats:
    """Product over the segments that each silence runs through. which [M], months [M, G]; shape [M, S, S]."""
    result = np.broadcast_to(np.eye(size), (len(which), size, size)).copy()
    begun = np.zeros(len(which), dtype=bool)
    for segment in np.flatnonzero(months.any(axis=0)).tolist():
        rows = np.flatnonzero(months[:, segment] > 0)
        rows = rows[np.argsort(which[rows], kind="stable")]
        moved = _transitions(known, which[rows], segment, months[rows, segment])
        further = begun[rows]
        result[rows[~further]] = moved[~further]
        result[rows[further]] = np.matmul(result[rows[further]], moved[further])
        begun[rows] = True
    return result


def _transitions(
    known: list[SilenceMatrices], which: NDArray[np.intp], segment: int, months: Floats
) -> Floats:
    """exp(A · months) within one segment. which [M] not falling, months [M]; shape [M, S, S]."""
    groups = np.concatenate(([0], np.flatnonzero(np.diff(which)) + 1, [len(which)])).tolist()
    size = known[0].generators.shape[1]
    moved = np.empty((len(which), size * size))
    for begin, end in itertools.pairwise(groups):
        matrices, span = known[which[begin]], months[begin:end, None]
        grown = np.exp(span * matrices.values[segment])
        moved[begin:end] = np.einsum("mk,kj->mj", grown, matrices.projectors[segment]).real
        if not matrices.diagonal or span.max() * matrices.pace[segment] > FAINT:
            exact = np.flatnonzero((span[:, 0] * matrices.pace[segment] > FAINT) | (not matrices.diagonal))
            powers = matrices.generators[segment] * span[exact, :, None]
            moved[begin + exact] = expm(powers).reshape(len(exact), -1)
    return np.maximum(moved, 0.0).reshape(-1, size, size)
