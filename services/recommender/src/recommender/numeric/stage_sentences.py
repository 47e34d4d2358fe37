"""Evidence in sentences that a marketer reads."""

from __future__ import annotations

from recommender.domain.stages import OUTCOMES, PUBLIC_STAGES, SECONDS_PER_DAY, StageModel
from recommender.numeric.stage_evidence import Evidence

STRONG = 1.0
"""An effect from here on multiplies the odds by e or more."""
SLIGHT = 0.1
OUTCOME_LABELS = dict(
    zip(
        OUTCOMES,
        ("An opportunity was opened", "An opportunity was lost", "An opportunity was won"),
        strict=True,
    )
)


def sentence(model: StageModel, one: Evidence, now: float) -> str:
    """The evidence in words for a marketer, such as "Viewed pricing 3 days ago: raises decision"."""
    if one.kind == "start":
        return "Before any signal: few buyers are in the market at a time"
    return f"{_what(model, one, now)}: {_effect(one.effect)} {_intent_name(model)}"


def _what(model: StageModel, one: Evidence, now: float) -> str:
    if one.kind == "account":
        return "What others at the account did, and it as a whole"
    if one.kind == "outcomes":
        return f"What {one.count} reports of your sales system taught of signals like these"
    if one.kind == "rest":
        return f"{one.count} smaller {'sign' if one.count == 1 else 'signs'} together"
    if one.kind == "silence":
        quiet = _span((one.until or now) - (one.at or now))
        if one.count > 1:
            return f"{one.count} earlier silences, the longest {quiet}"
        return f"No activity for {quiet}" if one.until == now else f"An earlier silence of {quiet}"
    name = one.signal_type or ""
    label = OUTCOME_LABELS.get(name) or model.signal_labels.get(name) or name.replace("_", " ").capitalize()
    age = now - (one.at or now)
    when = "today" if age < SECONDS_PER_DAY else f"{_span(age)} ago"
    return f"{label} {when}" if one.count == 1 else f"{label} {one.count} times, the last {when}"


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
