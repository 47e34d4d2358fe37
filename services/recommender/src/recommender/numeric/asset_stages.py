"""The stages that an asset serves: its text beside prototypes, its type, an editor's word, its consumers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recommender.domain.stages import Floats, StageModel

Vectors = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]

UNKNOWN_ASSET_TYPE = -1
LEAST_EXPOSURE = 0.02
"""A stage that is hardly ever seen must not turn one lucky view into a verdict."""


def prototype_sentences(model: StageModel) -> tuple[str, ...]:
    """The prototypes of all asset stages, stage by stage, in the order in which vectors are expected."""
    return tuple(sentence for stage in model.asset_stages.prototypes for sentence in stage)


def asset_stage_names(model: StageModel) -> tuple[str, ...]:
    """Public names of the columns of every distribution here."""
    return tuple(model.public_names[state] for state in model.asset_stages.states)


def asset_type_index(model: StageModel, type_name: str | None) -> int:
    """Row of a type's prior; UNKNOWN_ASSET_TYPE for one without."""
    names = model.asset_stages.type_names
    return names.index(type_name) if type_name in names else UNKNOWN_ASSET_TYPE


def stage_similarity(model: StageModel, vectors: Vectors, prototypes: Vectors) -> Floats:
    """How near each asset is to each stage, on the scale of cosines. [N, stages]

    vectors [N, d] and prototypes [P, d] are L2-normalised, the prototypes those of `prototype_sentences`. A
    stage's nearness is a soft maximum over its prototypes, temperature · ln mean exp(cos / temperature): one
    prototype that fits well is enough, and a stage gains nothing by having more of them.
    """
    settings = model.asset_stages
    counts = [len(stage) for stage in settings.prototypes]
    if len(prototypes) != sum(counts):
        raise ValueError(f"{sum(counts)} prototype vectors are expected, not {len(prototypes)}")
    cosine = np.asarray(vectors, dtype=np.float64) @ np.asarray(prototypes, dtype=np.float64).T
    heat = cosine / settings.temperature
    top = heat.max(axis=1, keepdims=True, initial=-np.inf)
    begins = np.concatenate(([0], np.cumsum(counts)[:-1]))
    summed = np.add.reduceat(np.exp(heat - top), begins, axis=1)
    return np.asarray(settings.temperature * (np.log(summed / np.array(counts)) + top))


def estimate_asset_stages(
    model: StageModel, vectors: Vectors, type_index: Ints, prototypes: Vectors
) -> Floats:
    """π [N, stages] ∝ softmax(nearness / temperature)^.5 · type prior^.5; rows sum to 1.

    type_index [N] by `asset_type_index`; an unknown type has a uniform prior. Vectors as for
    `stage_similarity`. Powers and temperature are the model's.
    """
    settings = model.asset_stages
    heat = stage_similarity(model, vectors, prototypes) / settings.temperature
    stages = len(settings.states)
    priors = np.concatenate(
        (settings.type_priors, np.full((1, stages), 1.0 / stages))
    )  # the last row is for −1
    logs = settings.similarity_power * heat
    logs = logs + settings.prior_power * np.log(np.maximum(priors[type_index], 1e-9))
    grown = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def editors_distribution(model: StageModel, weights: Mapping[str, float]) -> Floats:
    """An editor's weights by public stage name as a distribution [stages]; it replaces the estimate.

    Raises ValueError on an unknown stage, a negative weight or nothing above 0.
    """
    names = asset_stage_names(model)
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(f"an asset cannot be of stage {name!r}")
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of {name} must be a number of 0 or more")
    row = np.array([weights.get(name, 0.0) for name in names], dtype=np.float64)
    if row.sum() <= 0:
        raise ValueError("some stage needs a weight above 0")
    return np.asarray(row / row.sum())


def learn_asset_stages(model: StageModel, prior: Floats, consumed: Floats, exposure: Floats) -> Floats:
    """What consumers teach: a Dirichlet update of `prior` [N, stages], which is worth `pseudo_count` views.

    consumed [N, stages]: for each asset the sum, over those who engaged with it, of their probability of
    each stage. exposure [stages]: the share of each stage among all who engage with anything. Most buyers
    are early, so raw counts would draw every asset to awareness; each count is divided by its stage's
    exposure, and then scaled so that an asset's counts weigh as many views as it had.
    """
    share = exposure / exposure.sum() if exposure.sum() > 0 else np.full(len(exposure), 1.0 / len(exposure))
    lifted = consumed / np.maximum(share, LEAST_EXPOSURE)
    seen, total = consumed.sum(axis=1, keepdims=True), lifted.sum(axis=1, keepdims=True)
    counts = np.divide(lifted * seen, total, out=np.zeros_like(lifted), where=total > 0)
    pseudo = model.asset_stages.pseudo_count
    return np.asarray((pseudo * prior + counts) / (pseudo + seen))
