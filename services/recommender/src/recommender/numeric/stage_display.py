"""From raw estimates to what may be shown: pooling person and account, anchoring, public names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from recommender.domain.stages import PUBLIC_STAGES, Floats, StageModel

LEAST_PROBABILITY = 1e-9
"""Stands for 0 in logarithms: one estimate that thinks a state impossible must not forbid it to another."""
LEAST_CHANCE = 1e-300
"""What probabilities are held above in log-odds, so that they are finite."""
SUREST = 1.0 - 1e-15


@dataclass(frozen=True, slots=True)
class DisplayedStage:
    """The most probable public stage, its probability, and the distribution over all of PUBLIC_STAGES."""

    name: str
    confidence: float
    distribution: Mapping[str, float]


def pool(model: StageModel, person: Floats, account: Floats, weight: float | None = None) -> Floats:
    """Log-pool of a person's and the account's estimates: ∝ person^w · account^(1−w). All [B, S].

    Pooled first between the intent states and the others, then within each of the two: that they disagree
    about consideration and decision is no reason to believe less in both, and an agreement that grows while
    both are silent must not lift them. `weight` is the person's, by default the model's. For somebody who
    has given no signal of their own, use the account's estimate as it is: the model's start is no opinion
    and should not be pooled.
    """
    share = model.person_weight if weight is None else weight
    logs = share * np.log(np.maximum(person, LEAST_PROBABILITY))
    logs = logs + (1.0 - share) * np.log(np.maximum(account, LEAST_PROBABILITY))
    together = np.exp(logs - logs.max(axis=-1, keepdims=True))
    own, others = (intent(model, one) + LEAST_PROBABILITY for one in (person, account))
    odds = share * log_odds(own) + (1.0 - share) * log_odds(others)
    return with_intent(model, together, odds)


def intent(model: StageModel, p: Floats) -> Floats:
    """Raw probability [B] of the states that alarms are ranked by (consideration and decision)."""
    return np.asarray(p[..., list(model.display.intent_states)].sum(axis=-1))


def log_odds(probability: Floats) -> Floats:
    """ln(p / (1 − p)), kept finite."""
    held = np.clip(probability, LEAST_CHANCE, SUREST)
    return np.asarray(np.log(held) - np.log1p(-held))


def with_intent(model: StageModel, p: Floats, odds: Floats) -> Floats:
    """p [B, S], of any sum, with the log-odds [B] of the intent states set and the proportions kept within
    them and within the others; rows sum to 1.
    """
    inside = np.zeros(len(model.states), dtype=bool)
    inside[list(model.display.intent_states)] = True
    wanted = 1.0 / (1.0 + np.exp(-odds))
    result = np.empty_like(p)
    for members, mass in ((inside, wanted), (~inside, 1.0 / (1.0 + np.exp(odds)))):
        part = np.maximum(p[..., members], LEAST_PROBABILITY * p.sum(axis=-1, keepdims=True))
        result[..., members] = part / part.sum(axis=-1, keepdims=True) * mass[..., None]
    return result


def prevalent_odds(model: StageModel) -> float:
    """Log-odds of the intent states among all who are watched, as configured."""
    groups = model.display.prevalence
    share = sum(g.share for g in groups if set(g.states) <= set(model.display.intent_states))
    return float(log_odds(np.array(share)))


def start_odds(model: StageModel) -> float:
    """Log-odds of the intent states at the model's start."""
    return float(log_odds(intent(model, model.start)))


def anchor(model: StageModel, p: Floats) -> Floats:
    """Estimates fit to be shown before there are outcomes to calibrate on. p [B, S]; returns [B, S].

    The raw posterior is overconfident, and its start is the share of *all* buyers in a state, not of those
    whom a firm watches. So the evidence, which is how far the raw estimate has moved from the start, is
    laid on the configured prevalence and weighs `evidence_power` (below 1) of what it says:

        log-odds shown(intent) = log-odds prevalence + power · (log-odds p(intent) − log-odds start(intent))

    and in the same way between the groups inside intent and outside it. Nothing known shows exactly the
    prevalence. What a signal adds to the raw log-odds it adds, times the power, to the shown ones: so
    the evidence adds up to what is shown, and whatever lowers the raw estimate lowers the shown one.
    Customers are told by the sales system far more than by behaviour: among the states outside intent
    they keep their raw share.
    """
    odds = prevalent_odds(model) + model.display.evidence_power * (
        log_odds(intent(model, p)) - start_odds(model)
    )
    return with_intent(model, anchored_within(model, p), odds)


def anchored_within(model: StageModel, p: Floats) -> Floats:
    """Anchored masses [B, S] whose proportions count within intent and, customers aside, outside it."""
    settings = model.display
    groups = [list(group.states) for group in settings.prevalence]
    raw = np.stack([p[..., states].sum(axis=-1) for states in groups], axis=-1)
    start = np.array([model.start[states].sum() for states in groups])
    share = np.array([group.share for group in settings.prevalence])
    evidence = np.maximum(raw, LEAST_PROBABILITY) / np.maximum(start, LEAST_PROBABILITY)
    logs = np.log(share) + settings.evidence_power * np.log(evidence)
    shown = np.exp(logs - logs.max(axis=-1, keepdims=True))
    outside = np.array([not set(states) <= set(settings.intent_states) for states in groups])
    known = p[..., list(settings.customer_states)].sum(axis=-1)
    others = raw[..., outside].sum(axis=-1)
    shown[..., outside] *= (others / np.maximum(shown[..., outside].sum(axis=-1), LEAST_CHANCE))[..., None]
    shown[..., ~outside] *= np.maximum(1.0 - known - others, LEAST_PROBABILITY)[..., None]
    result = p.copy()
    for g, states in enumerate(groups):
        scale = np.divide(shown[..., g], raw[..., g], out=np.zeros_like(raw[..., g]), where=raw[..., g] > 0)
        even = (shown[..., g] * (raw[..., g] <= 0) / len(states))[..., None]
        result[..., states] = p[..., states] * scale[..., None] + even
    return result


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
