"""Evidence: each signal's and each silence's share, and the sentences a marketer reads."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.domain.stage_config import load_stage_model
from recommender.domain.stages import SECONDS_PER_DAY, Floats
from recommender.numeric.stage_display import anchor, intent, log_odds, pool
from recommender.numeric.stage_evidence import (
    Evidence,
    Story,
    estimate_from,
    evidence,
    shown_evidence,
    story_of,
)
from recommender.numeric.stage_filter import trace_prepared
from recommender.numeric.stage_sentences import sentence
from recommender.numeric.stage_tracks import StageSignal, Tracks, prepare_tracks

MODEL = load_stage_model()
NOW = 1_750_000_000.0


def track(*events: tuple[float, str]) -> Tracks:
    return Tracks.of(MODEL, [[StageSignal(NOW - days * SECONDS_PER_DAY, kind) for days, kind in events]])


def test_nothing_done_leaves_the_start_as_the_only_evidence() -> None:
    shown = evidence(MODEL, track(), NOW)
    assert [one.kind for one in shown] == ["start"]
    assert estimate_from(shown) == pytest.approx(0.02)


def test_the_story_is_told_newest_first_with_its_silences() -> None:
    shown = evidence(MODEL, track((400, "download_whitepaper"), (3, "view_pricing")), NOW)
    assert [(one.kind, one.signal_type) for one in shown] == [
        ("start", None),
        ("silence", None),
        ("signal", "view_pricing"),
        ("silence", None),
        ("signal", "download_whitepaper"),
    ]
    effects = {one.signal_type: one.effect for one in shown if one.kind == "signal"}
    assert effects["view_pricing"] > effects["download_whitepaper"] > 0
    assert [one.effect < 0 for one in shown if one.kind == "silence"] == [True, True]


def test_what_is_not_shown_is_summed_in_one() -> None:
    many = track(*[(day, "view_product") for day in range(1, 30, 3)], (2, "demo_request"))
    full, short = evidence(MODEL, many, NOW, top=100), evidence(MODEL, many, NOW, top=2)
    assert [one.kind for one in short] == ["start", *[one.kind for one in short[1:3]], "rest"]
    assert short[-1].count == sum(one.count for one in full[1:]) - sum(one.count for one in short[1:3])
    assert estimate_from(short) == pytest.approx(estimate_from(full), abs=1e-12)


def test_what_there_is_much_of_is_told_as_one() -> None:
    months = [(30.0 * n, kind) for n in range(1, 10) for kind in ("view_product", "view_pricing")]
    busy = track(*months, (3.5, "demo_request"), (25.0, "chat"), (95.0, "chat"))
    shown = {(one.kind, one.signal_type, one.count): one for one in evidence(MODEL, busy, NOW, top=8)}
    pricing = shown["signal", "view_pricing", 9]
    assert pricing.at == NOW - 30 * SECONDS_PER_DAY, "the last of them"
    assert pricing.effect > shown["signal", "demo_request", 1].effect > 0
    assert ("signal", "chat", 1) in shown, "two are told singly"
    [earlier] = [one for kind, one in shown.items() if kind[0] == "silence" and kind[2] > 2]
    assert (earlier.until or 0) - (earlier.at or 0) == 30 * SECONDS_PER_DAY, "the longest"
    assert shown["silence", None, 1].until == NOW, "the one that lasts stands alone"
    assert sentence(MODEL, earlier, NOW) == (
        f"{earlier.count} earlier silences, the longest 4 weeks: strongly lowers consideration and decision"
    )
    assert sentence(MODEL, pricing, NOW) == (
        "Viewed pricing 9 times, the last 4 weeks ago: strongly raises consideration and decision"
    )


def test_signals_that_do_not_count_are_no_evidence() -> None:
    bots = Tracks.of(MODEL, [[StageSignal(NOW - 9, "demo_request", 0.0), StageSignal(NOW + 9, "chat")]])
    assert [one.kind for one in evidence(MODEL, bots, NOW)] == ["start"]


def test_a_lost_opportunity_is_evidence_against() -> None:
    shown = evidence(MODEL, track((9, "demo_request"), (1, "opportunity_lost")), NOW)
    assert next(one for one in shown if one.signal_type == "opportunity_lost").effect < -0.5


def told(*events: tuple[float, str]) -> tuple[Story, Floats]:
    """A track's story and its raw estimate."""
    prepared = prepare_tracks(MODEL, track(*events), NOW)
    p, trace = trace_prepared(MODEL, prepared)
    return story_of(prepared, p, trace, 0), p[0]


def shown_odds(p: Floats) -> float:
    return float(log_odds(intent(MODEL, p)))


def test_the_evidence_adds_up_to_what_is_displayed_without_a_remainder() -> None:
    story, p = told((400, "download_whitepaper"), (3, "view_pricing"))
    displayed = anchor(MODEL, p)
    shown = shown_evidence(MODEL, story, shown_odds(displayed))
    assert [one.kind for one in shown] == ["start", "silence", "signal", "silence", "signal"]
    assert estimate_from(shown) == pytest.approx(float(intent(MODEL, displayed)), abs=1e-12)
    assert estimate_from(shown[:1]) == pytest.approx(0.09)  # the prevalence is where everybody begins


def test_what_the_account_did_and_what_outcomes_taught_have_lines_of_their_own() -> None:
    story, p = told((400, "download_whitepaper"), (3, "view_pricing"))
    _, account = told((20, "demo_request"), (3, "view_pricing"))
    pooled = anchor(MODEL, pool(MODEL, p[None, :], account[None, :])[0])
    shown = shown_evidence(
        MODEL, story, -1.0, share=MODEL.person_weight, pooled=shown_odds(pooled), outcome_count=240
    )
    assert [one.kind for one in shown[-2:]] == ["account", "outcomes"]
    assert estimate_from(shown[:-1]) == pytest.approx(float(intent(MODEL, pooled)), abs=1e-12)
    assert estimate_from(shown) == pytest.approx(1 / (1 + np.exp(1.0)), abs=1e-12)
    assert shown[-2].effect > 0  # a demo asked for by a colleague
    assert sentence(MODEL, shown[-2], NOW).startswith("What others at the account did")
    assert sentence(MODEL, shown[-1], NOW).startswith("What 240 reports of your sales system taught")


def test_evidence_is_of_one_track() -> None:
    with pytest.raises(ValueError, match="one track"):
        evidence(MODEL, Tracks.of(MODEL, [[], []]), NOW)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (
            ("signal", "view_pricing", 3.0, 2.0),
            "Viewed pricing 3 days ago: strongly raises consideration and decision",
        ),
        (("signal", "view_pricing", 0.2, 0.5), "Viewed pricing today: raises consideration and decision"),
        (("signal", "careers", 1.5, -0.3), "Looked at careers 1 day ago: lowers consideration and decision"),
        (
            ("signal", "email_open", 20.0, 0.01),
            "Opened an email 2 weeks ago: hardly changes consideration and decision",
        ),
        (
            ("signal", "opportunity_won", 800.0, -2.0),
            "An opportunity was won 2 years ago: strongly lowers consideration and decision",
        ),
        (
            ("signal", "some_new_type", 70.0, 0.2),
            "Some new type 2 months ago: raises consideration and decision",
        ),
    ],
)
def test_signals_read_as_sentences(one: tuple[str, str, float, float], text: str) -> None:
    _, kind, days, effect = one
    assert sentence(MODEL, Evidence("signal", kind, NOW - days * SECONDS_PER_DAY, effect), NOW) == text


def test_silence_rest_and_start_read_as_sentences() -> None:
    month = 30.5 * SECONDS_PER_DAY
    now_quiet = Evidence("silence", None, NOW - 14 * month, -1.3, until=NOW)
    assert (
        sentence(MODEL, now_quiet, NOW)
        == "No activity for 14 months: strongly lowers consideration and decision"
    )
    earlier = Evidence("silence", None, NOW - 9 * month, -0.4, until=NOW - 6 * month)
    assert (
        sentence(MODEL, earlier, NOW) == "An earlier silence of 3 months: lowers consideration and decision"
    )
    rest = Evidence("rest", None, None, 0.2, count=1)
    assert sentence(MODEL, rest, NOW) == "1 smaller sign together: raises consideration and decision"
    assert "Before any signal" in sentence(MODEL, Evidence("start", None, None, -3.9), NOW)
