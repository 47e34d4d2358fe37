"""Why an estimate is what it is: the share of each signal and of each silence, and sentences that say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recommender.domain.stages import OUTCOMES, PUBLIC_STAGES, SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.stage_display import intent
from recommender.numeric.stage_filter import trace_prepared
from recommender.numeric.stage_tracks import Tracks, prepare_tracks

STRONG = 1.0
"""An effect from here on multiplies the odds by e or more."""
SLIGHT = 0.1
SHORT_SILENCE_DAYS = 1.0
OUTCOME_LABELS = dict(
    zip(
        OUTCOMES,
        ("An opportunity was opened", "An opportunity was lost", "An opportunity was won"),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason: what it added to the log-odds of the intent states (consideration and decision).

    kind `start`: where everybody begins; `signal`: at `at`; `silence`: from `at` to `until`; `rest`: all that
    is not shown singly, `count` of them; `context`: what pooling and anchoring did to the raw estimate. Times
    are seconds since the epoch, None where there is none.
    """

    kind: Literal["start", "signal", "silence", "rest", "context"]
    signal_type: str | None
    at: float | None
    effect: float
    until: float | None = None
    count: int = 1


def evidence(
    model: StageModel, track: Tracks, now: float, top: int = 8, shown: Floats | None = None
) -> list[Evidence]:
    """What the raw estimate of one track is made of; the effects add up to its log-odds of intent.

    Along the filtering pass each signal and each silence changes the log-odds of the intent states by a
    difference, and the differences telescope: start + signals + silences = final. A signal's share therefore
    counts what was known before it. First comes the start, then the `top` largest effects, newest first, then
    one `rest`. With `shown` [S], the estimate that is displayed (pooled, anchored or calibrated), a `context`
    is added and the effects add up to that one instead. `estimate_from` gives the estimate back. Raises
    ValueError unless there is exactly one track.
    """
    if len(track) != 1:
        raise ValueError("evidence is of one track at a time")
    prepared = prepare_tracks(model, track, now)
    final, trace = trace_prepared(model, prepared)
    begin = float(log_odds(intent(model, model.start[None, :]))[0])
    found: list[Evidence] = []
    level, since = begin, None
    before, after = log_odds(intent(model, trace.before)), log_odds(intent(model, trace.after))
    names = (*model.signal_types, *OUTCOMES)
    for i, at in enumerate(prepared.at.tolist()):
        if since is not None and at > since:
            found.append(Evidence("silence", None, since, float(before[i]) - level, until=at))
            level = float(before[i])
        found.append(Evidence("signal", names[prepared.type[i]], at, float(after[i]) - level))
        level, since = float(after[i]), at
    if since is not None and now > since:
        end = float(log_odds(intent(model, final))[0])
        found.append(Evidence("silence", None, since, end - level, until=now))
    reasons = [Evidence("start", None, None, begin), *_largest(found, top)]
    if shown is not None:
        target = float(log_odds(intent(model, shown))[()])
        reasons.append(Evidence("context", None, None, target - math.fsum(one.effect for one in reasons)))
    return reasons


def estimate_from(shown: Sequence[Evidence]) -> float:
    """The probability of intent that the evidence shown amounts to, by itself."""
    total = math.fsum(one.effect for one in shown)
    return 1.0 / (1.0 + math.exp(-total))


def log_odds(probability: Floats) -> Floats:
    """ln(p / (1 − p)), kept finite."""
    held = np.clip(probability, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(held) - np.log1p(-held))


def sentence(model: StageModel, one: Evidence, now: float) -> str:
    """The evidence in words for a marketer, such as "Viewed pricing 3 days ago: raises decision"."""
    if one.kind == "start":
        return "Before any signal: few buyers are in the market at a time"
    return f"{_what(model, one, now)}: {_effect(one.effect)} {_intent_name(model)}"


def _what(model: StageModel, one: Evidence, now: float) -> str:
    if one.kind == "context":
        return "Seen beside the account and the usual share of buyers in the market"
    if one.kind == "rest":
        return f"{one.count} smaller {'sign' if one.count == 1 else 'signs'} together"
    if one.kind == "silence":
        quiet = _span((one.until or now) - (one.at or now))
        return f"No activity for {quiet}" if one.until == now else f"An earlier silence of {quiet}"
    name = one.signal_type or ""
    label = OUTCOME_LABELS.get(name) or model.signal_labels.get(name) or name.replace("_", " ").capitalize()
    age = now - (one.at or now)
    return f"{label} today" if age < SECONDS_PER_DAY else f"{label} {_span(age)} ago"


def _effect(effect: float) -> str:
    if abs(effect) < SLIGHT:
        return "hardly changes"
    strongly = "strongly " if abs(effect) >= STRONG else ""
    return strongly + ("raises" if effect > 0 else "lowers")


def _intent_name(model: StageModel) -> str:
    named = {model.public_names[state] for state in model.display.intent_states}
    return " and ".join(name for name in PUBLIC_STAGES if name in named)


def _span(seconds: float) -> str:
    days = seconds / SECONDS_PER_DAY
    for size, unit, least in (
        (365.25, "year", 730.5),
        (30.4375, "month", 60.0),
        (7.0, "week", 14.0),
        (1.0, "day", 1.0),
    ):
        if days >= least:
            count = int(days / size)
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return "less than a day"


def _largest(found: list[Evidence], top: int) -> list[Evidence]:
    worth = [one for one in found if one.kind != "silence" or _lasted(one) >= SHORT_SILENCE_DAYS]
    chosen = sorted(worth, key=lambda one: (-abs(one.effect), -(one.at or 0.0)))[:top]
    kept = {id(one) for one in chosen}
    rest = [one.effect for one in found if id(one) not in kept]
    shown = sorted(chosen, key=lambda one: (-(one.until or one.at or 0.0), one.kind))
    if rest:
        shown.append(Evidence("rest", None, None, math.fsum(rest), count=len(rest)))
    return shown


def _lasted(one: Evidence) -> float:
    return ((one.until or 0.0) - (one.at or 0.0)) / SECONDS_PER_DAY
