"""Loads a stage file into a StageModel, or names every mistake that is in it."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from recommender.domain.stage_reader import Section
from recommender.domain.stage_rows import distribution, generator, signal_powers, signal_rates
from recommender.domain.stage_settings import (
    asset_stage_settings,
    calibration_settings,
    display_settings,
    filter_settings,
    outcome_settings,
    person_weight,
    role_weights,
    surge_settings,
)
from recommender.domain.stages import OUTCOMES, PUBLIC_STAGES, StageModel, StageModelInvalid

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
    rates = signal_rates(signals, types, states)
    start = distribution(root.section("start"), states)
    moves = generator(root.section("generator"), states)
    filter_ = filter_settings(root.section("filter"), states)
    powers = signal_powers(signals, types, filter_.signal_power)
    labels = signals.section("labels", optional=True)
    label_of = {one: labels.text(one) for one in labels.known_keys(types, "signal type")}
    signals.close()
    model = StageModel(
        name=name,
        version=version,
        states=states,
        public_names=public_names,
        start=start,
        generator=moves,
        signal_types=types,
        signal_labels=MappingProxyType(label_of),
        signal_index=MappingProxyType({one: i for i, one in enumerate((*types, *OUTCOMES))}),
        rates=rates,
        signal_powers=powers,
        filter=filter_,
        outcomes=outcome_settings(root.section("outcomes"), states),
        display=display_settings(root.section("display"), states),
        calibration=calibration_settings(root.section("calibration")),
        person_weight=person_weight(root.section("pooling")),
        role_weights=MappingProxyType(role_weights(root.section("roles"))),
        surge=surge_settings(root.section("surge")),
        asset_stages=asset_stage_settings(root.section("asset_stages"), states, public_names),
    )
    _agreement(root, model)
    root.close()
    return model


def _agreement(root: Section, model: StageModel) -> None:
    """Silence lowers the intent states only if they are the top of the ladder that it forbids to climb."""
    top = model.filter.ladder[-len(model.display.intent_states) :] if model.display.intent_states else ()
    if model.filter.ladder and set(top) != set(model.display.intent_states):
        root.section("display").mistake("intent_states", "must be the last states of filter.ladder")


def _states(root: Section) -> tuple[tuple[str, ...], tuple[str, ...]]:
    section = root.section("states")
    states = section.names()
    if not 2 <= len(states) <= MOST_STATES:
        section.mistake("", f"must name 2 to {MOST_STATES} states, not {len(states)}")
    names = tuple(section.choice(state, PUBLIC_STAGES, "public stage") or "unknown" for state in states)
    return states, names
