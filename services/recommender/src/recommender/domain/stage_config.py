"""Loads a stage file into a StageModel, or names every mistake that is in it."""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import numpy as np

from recommender.domain.stage_reader import Section
from recommender.domain.stages import (
    OUTCOMES,
    PUBLIC_STAGES,
    AssetStageSettings,
    DisplaySettings,
    FilterSettings,
    Floats,
    OutcomeSettings,
    PrevalenceGroup,
    StageModel,
    StageModelInvalid,
    SurgeSettings,
)

PROTOTYPES_PER_STAGE = (8, 15)
MOST_STATES = 32
MOST_SIGNAL_TYPES = 1_000


def load_stage_model(data: bytes | Path | None = None) -> StageModel:
    """The model in a stage file: its bytes, its path, or by default the file that comes with the package.

    Raises StageModelInvalid, with every mistake in the file, each by its place.
    """
    source = str(data) if isinstance(data, Path) else "stages.toml"
    try:
        if isinstance(data, bytes):
            raw = data
        else:
            raw = (data or resources.files("recommender").joinpath("stages.toml")).read_bytes()
        table = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise StageModelInvalid((f"cannot be read: {error.strerror}",), source) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StageModelInvalid((f"not readable as TOML: {error}",), source) from error
    mistakes: list[str] = []
    model = _model(Section(table, "", mistakes), version=hashlib.sha256(raw).hexdigest()[:12])
    if mistakes:
        raise StageModelInvalid(mistakes, source)
    return model


def _model(root: Section, version: str) -> StageModel:
    name = root.text("name")
    states, public_names = _states(root)
    signals = root.section("signals")
    types = signals.texts("types", most=MOST_SIGNAL_TYPES)
    for taken in set(types) & set(OUTCOMES):
        signals.mistake("types", f"{taken!r} is an outcome and needs no row")
    rates = _rates(signals, types, states)
    labels = signals.section("labels", optional=True)
    label_of = {one: labels.text(one) for one in labels.known_keys(types, "signal type")}
    signals.close()
    person_weight = _pooling(root.section("pooling"))
    model = StageModel(
        name=name,
        version=version,
        states=states,
        public_names=public_names,
        start=_distribution(root.section("start"), states),
        generator=_generator(root.section("generator"), states),
        signal_types=types,
        signal_labels=MappingProxyType(label_of),
        signal_index=MappingProxyType({one: i for i, one in enumerate((*types, *OUTCOMES))}),
        rates=rates,
        filter=_filter(root.section("filter")),
        outcomes=_outcomes(root.section("outcomes"), states),
        display=_display(root.section("display"), states),
        person_weight=person_weight,
        role_weights=MappingProxyType(_roles(root.section("roles"))),
        surge=_surge(root.section("surge")),
        asset_stages=_asset_stages(root.section("asset_stages"), states, public_names),
    )
    root.close()
    return model


def _states(root: Section) -> tuple[tuple[str, ...], tuple[str, ...]]:
    section = root.section("states")
    states = section.names()
    if not 2 <= len(states) <= MOST_STATES:
        section.mistake("", f"must name 2 to {MOST_STATES} states, not {len(states)}")
    names = tuple(section.choice(state, PUBLIC_STAGES, "public stage") or "unknown" for state in states)
    return states, names


def _row(section: Section, states: tuple[str, ...], *, above: bool = False) -> Floats:
    """One non-negative number for each state. Shape [S]."""
    section.known_keys(states, "state")
    return np.array([section.number(state, above=above) for state in states], dtype=np.float64)


def _distribution(section: Section, states: tuple[str, ...]) -> Floats:
    before = len(section.mistakes)
    row = _row(section, states)
    if len(section.mistakes) == before:
        section.must_sum_to(row, 1.0)
    total = row.sum()
    return _frozen(row / total if total > 0 else row)


def _generator(section: Section, states: tuple[str, ...]) -> Floats:
    matrix = np.zeros((len(states), len(states)))
    section.known_keys(states, "state")
    for i, source in enumerate(states):
        row = section.section(source)
        before = len(row.mistakes)
        given = row.known_keys(states, "state")
        for target in given:
            matrix[i, states.index(target)] = row.number(target, signed=target == source)
        if source in given and len(row.mistakes) == before:
            row.must_sum_to(matrix[i], 0.0)
        matrix[i, i] = 0.0
        matrix[i, i] = -matrix[i].sum()
    return _frozen(matrix)


def _rates(signals: Section, types: tuple[str, ...], states: tuple[str, ...]) -> Floats:
    """Rates [N, S]: given by column, or derived as the largest of other states' rates times factors."""
    derived = signals.section("derived", optional=True)
    derivations: dict[str, dict[str, float]] = {}
    derived_names = derived.known_keys(states, "state")
    given = tuple(state for state in states if state not in derived_names)
    for state in derived_names:
        factors = derived.section(state)
        derivations[state] = {
            one: factors.number(one, above=True) for one in factors.known_keys(given, "state")
        }
        if not derivations[state]:
            factors.mistake("", "must name at least one state that has a column")
    table = signals.section("rates")
    for stray in table.names():
        if stray not in types:
            table.mistake(stray, "has a row but is not among signals.types")
    rates = np.ones((len(types), len(states)))
    for i, one in enumerate(types):
        if one not in table.table:
            table.mistake(one, "a signal with no row")
            continue
        row = dict(zip(given, _row(table.section(one), given, above=True), strict=True))
        for state, factors_of in derivations.items():
            row[state] = max((row[other] * factor for other, factor in factors_of.items()), default=1.0)
        rates[i] = [row[state] for state in states]
    return _frozen(rates)


def _filter(section: Section) -> FilterSettings:
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
    )
    section.close()
    return settings


def _outcomes(section: Section, states: tuple[str, ...]) -> OutcomeSettings:
    won, lost = section.section("won"), section.section("lost")
    settings = OutcomeSettings(
        opened=_frozen(_row(section.section("opened"), states, above=True)),
        won_to=_state(won, "to", states),
        won_share=won.number("share", high=1.0),
        lost_from=_state(lost, "from", states),
        lost_to=_state(lost, "to", states),
        lost_share=lost.number("share", high=1.0),
    )
    for one in (won, lost, section):
        one.close()
    return settings


def _display(section: Section, states: tuple[str, ...]) -> DisplaySettings:
    intent = section.choices("intent_states", states, "state")
    customers = section.choices("customer_states", states, "state")
    table = section.section("prevalence")
    groups = []
    before = len(table.mistakes)
    for name in table.names():
        group = table.section(name)
        members = group.choices("states", states, "state")
        groups.append(
            PrevalenceGroup(name, _indexes(members, states), group.number("share", high=1.0, above=True))
        )
        group.close()
    if len(table.mistakes) == before:
        table.must_sum_to((group.share for group in groups), 1.0)
        covered = sorted([*customers, *(states[i] for group in groups for i in group.states)])
        if covered != sorted(states):
            table.mistake("", "every state must be in customer_states or in one group, and in one only")
    settings = DisplaySettings(
        evidence_power=section.number("evidence_power", high=1.0),
        intent_states=_indexes(intent, states),
        customer_states=_indexes(customers, states),
        prevalence=tuple(groups),
    )
    section.close()
    return settings


def _pooling(section: Section) -> float:
    before = len(section.mistakes)
    person, account = section.number("person", high=1.0), section.number("account", high=1.0)
    if len(section.mistakes) == before:
        section.must_sum_to((person, account), 1.0)
    section.close()
    return person


def _roles(section: Section) -> dict[str, float]:
    weights = {role: section.number(role, high=1.0) for role in section.names()}
    if "unknown" not in weights:
        section.mistake("unknown", "missing")
        weights["unknown"] = 1.0
    return weights


def _surge(section: Section) -> SurgeSettings:
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


def _asset_stages(
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
    rows = [_distribution(priors.section(name), stages) for name in names]
    settings = AssetStageSettings(
        states=_indexes(stages, states),
        temperature=section.number("temperature", above=True),
        similarity_power=section.number("similarity_power"),
        prior_power=section.number("prior_power"),
        pseudo_count=section.number("pseudo_count", above=True),
        prototypes=sentences,
        type_names=names,
        type_priors=_frozen(np.array(rows, dtype=np.float64).reshape(len(names), len(stages))),
    )
    section.close()
    return settings


def _state(section: Section, key: str, states: tuple[str, ...]) -> int:
    chosen = section.choice(key, states, "state")
    return states.index(chosen) if chosen is not None else 0


def _indexes(chosen: tuple[str, ...], states: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(states.index(one) for one in chosen)


def _frozen(array: Floats) -> Floats:
    array.setflags(write=False)
    return array
