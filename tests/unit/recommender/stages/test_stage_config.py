"""The stage file: the packaged one is right, and each kind of mistake is named with its place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import OUTCOMES, PUBLIC_STAGES, StageModelInvalid

PACKAGED = resources.files("recommender").joinpath("stages.toml").read_text(encoding="utf-8")


def changed(*edits: tuple[str, str]) -> bytes:
    text = PACKAGED
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
        text = text.replace(old, new)
    return text.encode()


def mistakes_of(*edits: tuple[str, str]) -> tuple[str, ...]:
    with pytest.raises(StageModelInvalid) as caught:
        load_stage_model(changed(*edits))
    return caught.value.mistakes


def test_the_packaged_model_holds_what_the_design_gives() -> None:
    model = load_stage_model()
    assert model.states == ("U", "L", "A", "C", "D", "K", "R")
    assert set(model.public_names) == set(PUBLIC_STAGES)
    assert model.rates.shape == (25, 7)
    np.testing.assert_allclose(model.generator.sum(axis=1), 0, atol=1e-15)
    assert model.generator[4, 5] == 0.16
    pricing = model.rates[model.signal_index["view_pricing"]]
    np.testing.assert_allclose(pricing, [0.004, 0.004, 0.03, 0.18, 0.60, 0.05, max(0.18 / 2, 0.05)])
    docs = model.rates[model.signal_index["view_docs_security"]]
    assert docs[6] == 0.8  # R is as K where that is more than half of C
    assert [model.signal_index[one] for one in OUTCOMES] == [25, 26, 27]
    assert model.role_weight(None) == model.role_weight("something new") == 0.5
    assert model.role_weight("competitor") == 0


def test_the_arrays_of_a_model_cannot_be_changed() -> None:
    model = load_stage_model()
    for array in (
        model.rates,
        model.start,
        model.generator,
        model.outcomes.opened,
        model.asset_stages.type_priors,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_a_file_can_be_given_by_path_and_by_bytes(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(changed(('name = "default"', 'name = "ours"')))
    by_path, by_bytes = load_stage_model(path), load_stage_model(path.read_bytes())
    assert by_path.name == by_bytes.name == "ours"
    assert by_path.version == by_bytes.version != load_stage_model().version


@pytest.mark.parametrize(
    ("edit", "mistake"),
    [
        (("U = 0.88", "U = 0.80"), "start: must sum to 1, sums to 0.92"),
        (
            ("U = { A = 0.008 }", "U = { U = -0.009, A = 0.008 }"),
            "generator.U: must sum to 0, sums to -0.001",
        ),
        (("U = { A = 0.008 }", "U = { A = -0.008 }"), "generator.U.A: must not be negative, is -0.008"),
        (("U = { A = 0.008 }", "U = { X = 0.008 }"), "generator.U.X: unknown state"),
        (("U = { A = 0.008 }\n", ""), "generator.U: missing"),
        (
            ("tool_roi                 = { U = 0.001,  A", "tool_roi = { U = -0.001, A"),
            "signals.rates.tool_roi.U: must not be negative, is -0.001",
        ),
        (
            ("tool_roi                 = { U = 0.001,  A", "tool_roi = { U = 0, A"),
            "signals.rates.tool_roi.U: must be above 0, is 0",
        ),
        (
            ("tool_roi                 = { U = 0.001,  A", "tool_roi = { A"),
            "signals.rates.tool_roi.U: missing",
        ),
        (
            ("tool_roi                 = { U = 0.001,  A", "tool_roi = { Z = 1, U = 0.001, A"),
            "signals.rates.tool_roi.Z: unknown state",
        ),
        (("tool_roi                 = {", "tool_rio = {"), "signals.rates.tool_roi: a signal with no row"),
        (
            ("tool_roi                 = {", "tool_rio = {"),
            "signals.rates.tool_rio: has a row but is not among signals.types",
        ),
        (
            ('"careers", "unsubscribe",', '"careers", "unsubscribe", "careers",'),
            "signals.types: names 'careers' more than once",
        ),
        (("R = { C = 0.5, K = 1.0 }", "R = { Z = 0.5 }"), "signals.derived.R.Z: unknown state"),
        (('K = "customer"', 'K = "client"'), "states.K: unknown public stage 'client'"),
        (
            ("signal_power = 0.6", "signal_power = true"),
            "filter.signal_power: must be a number, not true or false",
        ),
        (("signal_power = 0.6", "signal_power = nan"), "filter.signal_power: must be a finite number"),
        (
            ("signal_power = 0.6", 'signal_power = "high"'),
            "filter.signal_power: must be a number, not a text",
        ),
        (("signal_power = 0.6", "signal_powr = 0.6"), "filter.signal_power: missing"),
        (("signal_power = 0.6", "signal_power = 0.6\nsilence = 3"), "filter.silence: unknown key"),
        (("[7.0, 21.0, 45.0", "[7.0, 45.0, 21.0"), "filter.cut_ages_days: must be above 0 and rising"),
        (
            ("cap_per_type_and_day = 2", "cap_per_type_and_day = 1.5"),
            "filter.cap_per_type_and_day: must be a whole number, not a number",
        ),
        (
            ("earliest = 1990-01-01T00:00:00Z", "earliest = 1990-01-01"),
            "filter.earliest: must be a moment with its offset from UTC, such as 1990-01-01T00:00:00Z",
        ),
        (('[outcomes.won]\nto = "K"', '[outcomes.won]\nto = "Q"'), "outcomes.won.to: unknown state 'Q'"),
        (("share = 0.98", "share = 1.98"), "outcomes.won.share: must be at least 0 and at most 1, is 1.98"),
        (
            ('states = ["A"], share = 0.06', 'states = ["A"], share = 0.16'),
            "display.prevalence: must sum to 1, sums to 1.1",
        ),
        (
            ('states = ["U", "L"]', 'states = ["U"]'),
            "display.prevalence: every state must be in customer_states or in one group, and in one only",
        ),
        (("person = 0.6", "person = 0.7"), "pooling: must sum to 1, sums to 1.1"),
        (("unknown = 0.5", "nobody = 0.5"), "roles.unknown: missing"),
        (("champion = 1.0", "champion = 2.0"), "roles.champion: must be at least 0 and at most 1, is 2"),
        (("minimum_people = 2", "minimum_people = 0"), "surge.minimum_people: must be at least 1, is 0"),
        (
            ("case_study                 = { A = 0.08", "case_study = { A = 0.18"),
            "asset_stages.type_priors.case_study: must sum to 1, sums to 1.1",
        ),
        (
            ('stages = ["A", "C", "D", "K"]', 'stages = ["A", "C", "D", "Y"]'),
            "asset_stages.stages: unknown state 'Y'",
        ),
        (("[surge]", "[surges]"), "surge: missing"),
        (("[surge]", "[surges]"), "surges: unknown key"),
        (('name = "default"', "name = 3"), "name: must be a text that is not empty, not a number"),
        (
            ("most_signals = 5000", "most_signals = 0"),
            "filter.most_signals: must be at least 1, is 0",
        ),
        (('ladder = ["A", "C", "D"]', 'ladder = ["A", "C", "Z"]'), "filter.ladder: unknown state 'Z'"),
        (('ladder = ["A", "C", "D"]', 'ladder = "A"'), "filter.ladder: must be a list of texts"),
        (
            ('ladder = ["A", "C", "D"]', 'ladder = ["A", "D"]'),
            "display.intent_states: must be the last states of filter.ladder",
        ),
        (
            ('intent_states = ["C", "D"]', 'intent_states = ["C", "Q"]'),
            "display.intent_states: unknown state 'Q'",
        ),
        (
            ("demo_request  = 1.0", "demo_request = 1.5"),
            "signals.powers.demo_request: must be above 0 and at most 1, is 1.5",
        ),
        (("demo_request  = 1.0", "demo_requst = 1.0"), "signals.powers.demo_requst: unknown signal type"),
        (
            ("least_outcomes = 200", "least_outcomes = 0"),
            "calibration.least_outcomes: must be at least 1, is 0",
        ),
        (("horizon_days = 90.0", "horizon_days = 0"), "calibration.horizon_days: must be above 0, is 0"),
        (("step_days = 15.0", "step_days = 0.1"), "calibration.step_days: must be at least 1, is 0.1"),
        (("decay_days = [30.0]", "decay_days = []"), "calibration.decay_days: must hold numbers above 0"),
        (("decay_days = [30.0]", "decay_days = [-3]"), "calibration.decay_days: must hold numbers above 0"),
        (("folds = 5", "folds = 1"), "calibration.folds: must be at least 2, is 1"),
        (("folds = 5", "fold = 5"), "calibration.fold: unknown key"),
        (("[calibration]", "[calibrations]"), "calibration: missing"),
        (
            ("evidence_power = 0.6", "evidence_power = 1.1"),
            "display.evidence_power: must be at least 0 and at most 1, is 1.1",
        ),
        (("temperature = 0.07", "temperature = 0"), "asset_stages.temperature: must be above 0, is 0"),
        (("pseudo_count = 30.0", "pseudo_count = inf"), "asset_stages.pseudo_count: must be a finite number"),
        (("p_value = 0.01", "p_value = 2"), "surge.p_value: must be above 0 and at most 1, is 2"),
        (("D = 1.0\nK = 0.1", "D = 0\nK = 0.1"), "outcomes.opened.D: must be above 0, is 0"),
        (("D = 1.0\nK = 0.1", "D = 1.0\nK = -0.1"), "outcomes.opened.K: must not be negative, is -0.1"),
        (('from = "D"', 'from = "X"'), "outcomes.lost.from: unknown state 'X'"),
        (
            ('email_open = "Opened an email"', 'email_open = ""'),
            "signals.labels.email_open: must be a text that is not empty, not a text",
        ),
        (("A = 0.04\nC = 0.013", "A = 0.04\nC = 0.013\nQ = 0.1"), "start.Q: unknown state"),
        (
            ("silence_fade_days = 90.0", "silence_fade_days = 0"),
            "filter.silence_fade_days: must be above 0, is 0",
        ),
        (
            ("[display.prevalence]", "[display.prevalence]\nodd = 3"),
            "display.prevalence.odd: must be a table, not a number",
        ),
    ],
)
def test_each_kind_of_mistake_is_named_with_its_place(edit: tuple[str, str], mistake: str) -> None:
    assert mistake in mistakes_of(edit)


def test_all_mistakes_are_listed_at_once() -> None:
    found = mistakes_of(
        ("U = 0.88", "U = 0.80"),
        ("signal_power = 0.6", "signal_powr = 0.6"),
        ("champion = 1.0", "champion = -1"),
    )
    assert found == (
        "start: must sum to 1, sums to 0.92",
        "filter.signal_power: missing",
        "filter.signal_powr: unknown key",
        "roles.champion: must not be negative, is -1",
    )


def test_one_mistake_is_told_once() -> None:
    assert mistakes_of(("U = { A = 0.008 }", "U = { A = -0.008 }")) == (
        "generator.U.A: must not be negative, is -0.008",
    )


def test_too_few_prototypes_are_a_mistake() -> None:
    start = PACKAGED.index("[asset_stages.prototypes]\nA = [")
    end = PACKAGED.index("]\n", start + len("[asset_stages.prototypes]\n"))
    cut = PACKAGED[:start] + '[asset_stages.prototypes]\nA = ["Just one"' + PACKAGED[end:]
    with pytest.raises(
        StageModelInvalid, match=r"asset_stages\.prototypes\.A: must hold 8 to 15 texts, not 1"
    ):
        load_stage_model(cut.encode())


@pytest.mark.parametrize(
    "raw", [b"", b"= nonsense", b"\xff\xfe", b"states = 3", b"[states]\nU = 1\n[signals]\ntypes=[{}]"]
)
def test_a_file_that_is_something_else_is_refused_and_never_crashes(raw: bytes) -> None:
    with pytest.raises(StageModelInvalid) as caught:
        load_stage_model(raw)
    assert caught.value.mistakes


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"gone\.toml is wrong"):
        load_stage_model(tmp_path / "gone.toml")
