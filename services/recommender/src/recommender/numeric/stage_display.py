"""From raw estimates to what may be shown: pooling person and account, anchoring, public names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from recommender.domain.stages import PUBLIC_STAGES, Floats, StageModel

LEAST_PROBABILITY = 1e-9
"""Stands for 0 in logarithms: one estimate that thinks a state impossible must not forbid it to another."""


@dataclass(frozen=True, slots=True)
class DisplayedStage:
    """The most probable public stage, its probability, and the distribution over all of PUBLIC_STAGES."""

    name: str
    confidence: float
    distribution: Mapping[str, float]


def pool(model: StageModel, person: Floats, account: Floats, weight: float | None = None) -> Floats:
    """Log-pool of a person's and the account's estimates: ∝ person^w · account^(1−w). All [B, S].

    `weight` is the person's, by default the model's. For somebody who has given no signal of their own, use
    the account's estimate as it is: the model's start is no opinion and should not be pooled.
    """
    share = model.person_weight if weight is None else weight
    logs = share * np.log(np.maximum(person, LEAST_PROBABILITY))
    logs = logs + (1.0 - share) * np.log(np.maximum(account, LEAST_PROBABILITY))
    pooled = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(pooled / pooled.sum(axis=-1, keepdims=True))


def intent(model: StageModel, p: Floats) -> Floats:
    """Raw probability [B] of the states that alarms are ranked by (consideration and decision)."""
    return np.asarray(p[..., list(model.display.intent_states)].sum(axis=-1))


def anchor(model: StageModel, p: Floats) -> Floats:
    """Estimates fit to be shown before there are outcomes to calibrate on. p [B, S]; returns [B, S].

    The raw posterior is overconfident, and its start is the share of *all* buyers in a state, not of those
    whom a firm watches. So for each group of the configured prevalence, the evidence is how far the raw
    estimate has moved from the start, p(group) / start(group); that evidence is raised to `evidence_power`
    (below 1) and laid on the prevalence: shown(group) ∝ prevalence · (p / start)^power. Nothing known shows
    exactly the prevalence; a power of 1 would only exchange the prior. Customers are told by the sales system
    far more than by behaviour: their states keep the raw probability, and the groups share the rest. Within a
    group the raw proportions hold.
    """
    settings = model.display
    customers = p[..., list(settings.customer_states)].sum(axis=-1, keepdims=True)
    raw = np.stack([p[..., list(group.states)].sum(axis=-1) for group in settings.prevalence], axis=-1)
    start = np.array([model.start[list(group.states)].sum() for group in settings.prevalence])
    share = np.array([group.share for group in settings.prevalence])
    evidence = np.maximum(raw, LEAST_PROBABILITY) / np.maximum(start, LEAST_PROBABILITY)
    logs = np.log(share) + settings.evidence_power * np.log(evidence)
    shown = np.exp(logs - logs.max(axis=-1, keepdims=True))
    shown = shown / shown.sum(axis=-1, keepdims=True) * (1.0 - customers)
    return _spread(p, [group.states for group in settings.prevalence], raw, shown)


def display(model: StageModel, p: Floats) -> list[DisplayedStage]:
    """Estimates [B, S] (anchored or calibrated, not raw) under their public names."""
    named = public_distribution(model, p)
    best = named.argmax(axis=1)
    return [
        DisplayedStage(
            PUBLIC_STAGES[top],
            float(row[top]),
            MappingProxyType(dict(zip(PUBLIC_STAGES, row.tolist(), strict=True))),
        )
        for row, top in zip(named, best, strict=True)
    ]


def public_distribution(model: StageModel, p: Floats) -> Floats:
    """Sums over the states that share a public name. p [B, S]; returns [B, 7] over PUBLIC_STAGES."""
    named = np.zeros((len(p), len(PUBLIC_STAGES)))
    for state, name in enumerate(model.public_names):
        named[:, PUBLIC_STAGES.index(name)] += p[:, state]
    return named


def _spread(p: Floats, groups: list[tuple[int, ...]], raw: Floats, shown: Floats) -> Floats:
    """p with the mass of each group exchanged for the shown one. raw, shown [B, groups]."""
    result = p.copy()
    for g, states in enumerate(groups):
        members = list(states)
        scale = np.divide(shown[..., g], raw[..., g], out=np.zeros_like(shown[..., g]), where=raw[..., g] > 0)
        even = (shown[..., g] * (raw[..., g] <= 0) / len(members))[..., None]
        result[..., members] = p[..., members] * scale[..., None] + even
    return result
