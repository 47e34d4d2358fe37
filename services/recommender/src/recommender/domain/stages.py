"""The buying-stage model as data: states, rates and constants, checked once and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.errors import ConfigurationInvalid

Floats = NDArray[np.float64]

PUBLIC_STAGES = ("awareness", "consideration", "decision", "customer", "renewal", "nurture", "unknown")
OUTCOMES = ("opportunity_opened", "opportunity_lost", "opportunity_won")
"""What the sales system reports, in the order in which outcomes of one instant are applied."""

SECONDS_PER_DAY = 86_400.0
DAYS_PER_MONTH = 30.4375
UNKNOWN_TYPE = -1
"""Type index of a signal that the model has no row for; it moves nothing."""


class StageModelInvalid(ConfigurationInvalid):
    """A stage file with mistakes: `mistakes` names every one, each with its place in the file."""

    def __init__(self, mistakes: Sequence[str], source: str = "stages.toml") -> None:
        super().__init__(source, mistakes)


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Constants of the filter; the names in brackets are those of the formula."""

    silence_weight: float  # (κ)
    silence_fade_days: float  # (H)
    people_exponent: float  # (ρ)
    signal_power: float  # (τ)
    cut_ages_days: tuple[float, ...]
    cap_per_type_and_day: int
    earliest: float  # seconds since the epoch
    most_signals: int  # of a track, the latest count
    ladder: tuple[int, ...]  # states that nobody is counted up to while silent, lowest first


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeSettings:
    """What an opportunity opened, won or lost does to the distribution over states."""

    opened: Floats  # [S] factors
    won_to: int
    won_share: float
    lost_from: int
    lost_to: int
    lost_share: float


@dataclass(frozen=True, slots=True)
class PrevalenceGroup:
    """A group of states and the share of non-customers that is in it."""

    name: str
    states: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True)
class DisplaySettings:
    """How a raw estimate becomes one that may be shown."""

    evidence_power: float
    intent_states: tuple[int, ...]
    customer_states: tuple[int, ...]
    prevalence: tuple[PrevalenceGroup, ...]


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What a calibration is fitted on, and how; times in days."""

    least_outcomes: int
    horizon_days: float  # the question: does an opportunity open within so many days?
    step_days: float  # between snapshots of one account
    decay_days: tuple[float, ...]  # memories of the decayed counts, one block of features each
    active_days: float  # somebody seen within so many days counts as active
    strengths: tuple[float, ...]  # ridge penalties to choose from by cross-validation
    folds: int


@dataclass(frozen=True, slots=True)
class SurgeSettings:
    """Windows, prior and thresholds of the surge test."""

    window_days: float
    baseline_days: float
    prior_signals: float
    prior_days: float
    p_value: float
    minimum_signals: int
    minimum_people: int


@dataclass(frozen=True, slots=True, eq=False)
class AssetStageSettings:
    """What an asset's stage estimate is made of; rows over `states`, T = number of these."""

    states: tuple[int, ...]
    temperature: float
    similarity_power: float
    prior_power: float
    pseudo_count: float
    prototypes: tuple[tuple[str, ...], ...]  # sentences, per state
    type_names: tuple[str, ...]
    type_priors: Floats  # [types, T]


@dataclass(frozen=True, slots=True, eq=False)
class StageModel:
    """A checked stage model. Arrays are float64 and read-only; S states, N signal types with a row.

    `generator` [S, S] holds rates per month, rows sum to 0; `rates` [N, S] signals per known person and
    month; `signal_powers` [N] the power each signal's rates are raised to; `start` [S] sums to 1.
    `signal_index` maps a signal's name to its type index, outcomes included (they come after the N types).
    Compared and hashed by identity; `version` tells two models apart.
    """

    name: str
    version: str
    states: tuple[str, ...]
    public_names: tuple[str, ...]
    start: Floats
    generator: Floats
    signal_types: tuple[str, ...]
    signal_labels: Mapping[str, str]
    signal_index: Mapping[str, int]
    rates: Floats
    signal_powers: Floats
    filter: FilterSettings
    outcomes: OutcomeSettings
    display: DisplaySettings
    calibration: CalibrationSettings
    person_weight: float
    role_weights: Mapping[str, float]
    surge: SurgeSettings
    asset_stages: AssetStageSettings

    def role_weight(self, role: str | None) -> float:
        """Weight of a person's signals in the account's estimate; a role not listed counts as unknown."""
        return self.role_weights.get(role or "unknown", self.role_weights["unknown"])

    def state_index(self, state: str) -> int:
        """Position of a state in every array."""
        return self.states.index(state)
