"""Reads the settings of the stage model: one function for each section of the file."""

from __future__ import annotations

import itertools

import numpy as np

from recommender.domain.stage_reader import Section
from recommender.domain.stage_rows import distribution, frozen, positions, state_position, state_row
from recommender.domain.stages import (
    AssetStageSettings,
    CalibrationSettings,
    DisplaySettings,
    FilterSettings,
    OutcomeSettings,
    PrevalenceGroup,
    SurgeSettings,
)

PROTOTYPES_PER_STAGE = (8, 15)


def filter_settings(section: Section, states: tuple[str, ...]) -> FilterSettings:
    ages = section.numbers("cut_ages_days")
    if any(age <= 0 for age in ages) or any(b <= a for a, b in itertools.pairwise(ages)):
        section.mistake("cut_ages_days", "must be above 0 and rising")
        ages = ()
    settings = FilterSettings(
        silence_weight=section.number("silence_weight"),
        silence_fade_days=section.number("silence_fade_days", above=True),
        people_exponent=section.number("people_exponent", high=1.0),
        signal_power=section.number("signal_power", high=1.0, above=True),
        cut_ages_days=ages,
        cap_per_type_and_day=section.integer("cap_per_type_and_day", low=1),
        earliest=section.instant("earliest"),
        most_signals=section.integer("most_signals", low=1),
        ladder=positions(section.choices("ladder", states, "state"), states),
    )
    section.close()
    return settings


def outcome_settings(section: Section, states: tuple[str, ...]) -> OutcomeSettings:
    won, lost = section.section("won"), section.section("lost")
    settings = OutcomeSettings(
        opened=frozen(state_row(section.section("opened"), states, above=True)),
        won_to=state_position(won, "to", states),
        won_share=won.number("share", high=1.0),
        lost_from=state_position(lost, "from", states),
        lost_to=state_position(lost, "to", states),
        lost_share=lost.number("share", high=1.0),
    )
    for one in (won, lost, section):
        one.close()
    return settings


def display_settings(section: Section, states: tuple[str, ...]) -> DisplaySettings:
    intent = section.choices("intent_states", states, "state")
    customers = section.choices("customer_states", states, "state")
    table = section.section("prevalence")
    groups = []
    before = len(table.mistakes)
    for name in table.names():
        group = table.section(name)
        members = group.choices("states", states, "state")
        groups.append(
            PrevalenceGroup(name, positions(members, states), group.number("share", high=1.0, above=True))
        )
        group.close()
    if len(table.mistakes) == before:
        table.must_sum_to((group.share for group in groups), 1.0)
        covered = sorted([*customers, *(states[i] for group in groups for i in group.states)])
        if covered != sorted(states):
            table.mistake("", "every state must be in customer_states or in one group, and in one only")
    settings = DisplaySettings(
        evidence_power=section.number("evidence_power", high=1.0),
        intent_states=positions(intent, states),
        customer_states=positions(customers, states),
        prevalence=tuple(groups),
    )
    section.close()
    return settings


def calibration_settings(section: Section) -> CalibrationSettings:
    memories, strengths = section.numbers("decay_days"), section.numbers("strengths")
    for key, values in (("decay_days", memories), ("strengths", strengths)):
        if any(value <= 0 for value in values) or (not values and isinstance(section.table.get(key), list)):
            section.mistake(key, "must hold numbers above 0")
    settings = CalibrationSettings(
        least_outcomes=section.integer("least_outcomes", low=1),
        horizon_days=section.number("horizon_days", above=True),
        step_days=section.number("step_days", low=1.0),
        decay_days=memories,
        active_days=section.number("active_days", above=True),
        strengths=strengths,
        folds=section.integer("folds", low=2),
    )
    section.close()
    return settings


def person_weight(section: Section) -> float:
    before = len(section.mistakes)
    person, account = section.number("person", high=1.0), section.number("account", high=1.0)
    if len(section.mistakes) == before:
        section.must_sum_to((person, account), 1.0)
    section.close()
    return person


def role_weights(section: Section) -> dict[str, float]:
    weights = {role: section.number(role, high=1.0) for role in section.names()}
    if "unknown" not in weights:
        section.mistake("unknown", "missing")
        weights["unknown"] = 1.0
    return weights


def surge_settings(section: Section) -> SurgeSettings:
    settings = SurgeSettings(
        window_days=section.number("window_days", above=True),
        baseline_days=section.number("baseline_days", above=True),
        prior_signals=section.number("prior_signals", above=True),
        prior_days=section.number("prior_days"),
        p_value=section.number("p_value", high=1.0, above=True),
        minimum_signals=section.integer("minimum_signals", low=1),
        minimum_people=section.integer("minimum_people", low=1),
    )
    section.close()
    return settings


def asset_stage_settings(
    section: Section, states: tuple[str, ...], public_names: tuple[str, ...]
) -> AssetStageSettings:
    stages = section.choices("stages", states, "state")
    shown = [public_names[states.index(one)] for one in stages]
    for name in sorted({one for one in shown if shown.count(one) > 1}):
        section.mistake("stages", f"two of them are shown as {name!r}")
    prototypes = section.section("prototypes")
    prototypes.known_keys(stages, "stage of assets")
    least, most = PROTOTYPES_PER_STAGE
    sentences = tuple(prototypes.texts(one, least=least, most=most) for one in stages)
    priors = section.section("type_priors")
    names = priors.names()
    rows = [distribution(priors.section(name), stages) for name in names]
    settings = AssetStageSettings(
        states=positions(stages, states),
        temperature=section.number("temperature", above=True),
        similarity_power=section.number("similarity_power"),
        prior_power=section.number("prior_power"),
        pseudo_count=section.number("pseudo_count", above=True),
        prototypes=sentences,
        type_names=names,
        type_priors=frozen(np.array(rows, dtype=np.float64).reshape(len(names), len(stages))),
    )
    section.close()
    return settings
