"""What silence does: the chain moves on, and states that would have been heard from lose probability.

During silence the unnormalised p obeys dp/dt = p·A with A = Q − κ·w(age)·n^ρ·diag(Σλ), where w(age) falls as
exp(−age/H). The ages are cut into segments and w is replaced by its mean over each, 0 after the last cut: the
evidence of silence saturates there. With one A per segment, silence over a + b is silence over a and then over
b, so an estimate does not depend on when it was looked at.
"""

from __future__ import annotations

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
LEAST_MASS = 1e-6
"""Below this share left after a step, cancellation could show; such rows are exponentiated too."""


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


def silence_generators(model: StageModel, people: float) -> Floats:
    """A of each segment, per month, shifted so that no state that stays silent gains. Shape [G, S, S].

    The shift (the smallest Σλ is taken as 0) changes p by a factor only, and keeps long silences of large
    accounts from underflowing.
    """
    settings = model.filter
    total = model.rates.sum(axis=0)
    loss = (total - total.min()) * settings.silence_weight * people**settings.people_exponent
    return model.generator - segment_weights(settings)[:, None, None] * np.diag(loss)


@dataclass(frozen=True, slots=True, eq=False)
class SilenceMatrices:
    """A = vectors · diag(values) · inverse for each segment: what is worth keeping between calls.

    generators [G, S, S] and values [G, S], vectors, inverse [G, S, S]; complex where a rotation needs it.
    `diagonal` is False where some segment resists diagonalising.
    """

    generators: Floats
    values: NDArray[Any]
    vectors: NDArray[Any]
    inverse: NDArray[Any]
    diagonal: bool


@lru_cache(maxsize=512)
def silence_matrices(model: StageModel, people: float) -> SilenceMatrices:
    """The matrices of a model for a number of known people; about 10 KB each, the last 512 are kept."""
    generators = silence_generators(model, people)
    values, vectors = np.linalg.eig(generators)
    diagonal = bool(np.all(np.linalg.cond(vectors) < WORST_CONDITION))
    inverse = np.linalg.inv(vectors) if diagonal else np.zeros_like(vectors)
    if not np.any(np.iscomplex(values)):
        values, vectors, inverse = values.real, vectors.real, inverse.real
    return SilenceMatrices(generators, values, vectors, inverse, diagonal)


class SilenceKernel:
    """Silence for the tracks of one batch: stacked matrices and the step itself."""

    def __init__(self, model: StageModel, people: Floats) -> None:
        """`people` [B] ≥ 1, each track's known people."""
        self._low, self._high = segment_bounds(model.filter)
        distinct, self._which = np.unique(people, return_inverse=True)
        matrices = [silence_matrices(model, float(one)) for one in distinct]
        self._generators = np.stack([one.generators for one in matrices]) if matrices else np.zeros((0,))
        self._diagonal = all(one.diagonal for one in matrices)
        self._stacks = [
            (
                np.stack([one.values[g] for one in matrices])[self._which] / SECONDS_PER_MONTH,
                np.stack([one.vectors[g] for one in matrices])[self._which],
                np.stack([one.inverse[g] for one in matrices])[self._which],
            )
            for g in range(len(self._low))
            if matrices
        ]

    def overlaps(self, age: Floats, duration: Floats) -> Floats:
        """Seconds that silences spend in each segment. age, duration [M] ≥ 0, in seconds; returns [M, G]."""
        begin = np.maximum(age[:, None], self._low)
        end = np.minimum((age + duration)[:, None], self._high)
        return np.maximum(end - begin, 0.0)

    def step(self, p: Floats, rows: slice | NDArray[np.intp], segment: int, seconds: Floats) -> Floats:
        """p [M, S] of the tracks `rows` after `seconds` [M] within one segment, normalised."""
        if not self._diagonal:
            return self._exponentiate(p, rows, segment, seconds)
        values, vectors, inverse = self._stacks[segment]
        grown = np.exp(values[rows] * seconds[:, None])
        turned = np.matmul(p[:, None, :], vectors[rows])[:, 0, :] * grown
        after = np.matmul(turned[:, None, :], inverse[rows])[:, 0, :]
        after = np.maximum(after.real if np.iscomplexobj(after) else after, 0.0)
        mass = after.sum(axis=1)
        if mass.min() < LEAST_MASS:
            return self._exponentiate(p, rows, segment, seconds)
        return after / mass[:, None]

    def _exponentiate(
        self, p: Floats, rows: slice | NDArray[np.intp], segment: int, seconds: Floats
    ) -> Floats:
        months = seconds / SECONDS_PER_MONTH
        matrices = expm(self._generators[self._which[rows], segment] * months[:, None, None])
        after = np.maximum(np.matmul(p[:, None, :], matrices)[:, 0, :], 0.0)
        return after / after.sum(axis=1, keepdims=True)
