"""Reads rows, matrices and distributions over the states out of a stage file."""

from __future__ import annotations

import numpy as np

from recommender.domain.stage_reader import Section
from recommender.domain.stages import Floats


def state_row(section: Section, states: tuple[str, ...], *, above: bool = False) -> Floats:
    """One non-negative number for each state. Shape [S]."""
    section.known_keys(states, "state")
    return np.array([section.number(state, above=above) for state in states], dtype=np.float64)


def distribution(section: Section, states: tuple[str, ...]) -> Floats:
    before = len(section.mistakes)
    row = state_row(section, states)
    if len(section.mistakes) == before:
        section.must_sum_to(row, 1.0)
    total = row.sum()
    return frozen(row / total if total > 0 else row)


def generator(section: Section, states: tuple[str, ...]) -> Floats:
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
    return frozen(matrix)


def signal_rates(signals: Section, types: tuple[str, ...], states: tuple[str, ...]) -> Floats:
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
        row = dict(zip(given, state_row(table.section(one), given, above=True), strict=True))
        for state, factors_of in derivations.items():
            row[state] = max((row[other] * factor for other, factor in factors_of.items()), default=1.0)
        rates[i] = [row[state] for state in states]
    return frozen(rates)


def signal_powers(signals: Section, types: tuple[str, ...], usual: float) -> Floats:
    """The power [N] that each signal's rates are raised to: the usual one, or its own."""
    own = signals.section("powers", optional=True)
    of = {one: own.number(one, high=1.0, above=True) for one in own.known_keys(types, "signal type")}
    return frozen(np.array([of.get(one, usual) for one in types], dtype=np.float64))


def state_position(section: Section, key: str, states: tuple[str, ...]) -> int:
    chosen = section.choice(key, states, "state")
    return states.index(chosen) if chosen is not None else 0


def positions(chosen: tuple[str, ...], states: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(states.index(one) for one in chosen)


def frozen(array: Floats) -> Floats:
    array.setflags(write=False)
    return array
