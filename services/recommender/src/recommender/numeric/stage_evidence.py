"""Why an estimate is what it is: the share of each signal and of each silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from recommender.domain.stages import OUTCOMES, SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.stage_display import intent, log_odds, prevalent_odds, start_odds
from recommender.numeric.stage_filter import FilterTrace, trace_prepared
from recommender.numeric.stage_tracks import Ints, PreparedTracks, Tracks, prepare_tracks

SHORT_SILENCE_DAYS = 1.0
SINGLY = 2
"""Of a type of signal, and of earlier silences, more than so many are told as one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason: what it added to the log-odds of the intent states (consideration and decision).

    kind `start`: where everybody begins; `signal`: at `at`, or `count` of a type, the last at `at`;
    `silence`: from `at` to `until`, or `count` earlier ones, and these are the longest's times; `rest`: all
    that is not told otherwise, `count` of them; `account`: what the account's other signals did; `outcomes`:
    what the firm's own past outcomes, `count` of them, taught. Times are seconds since the epoch, None where
    there is none.
    """

    kind: Literal["start", "signal", "silence", "rest", "account", "outcomes"]
    signal_type: str | None
    at: float | None
    effect: float
    until: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """One track on its way through the filter: signals [N] by type and time, the estimates [N, S] just before
    and after each, and the one [S] at `now`.
    """

    type: Ints
    at: Floats
    before: Floats
    after: Floats
    final: Floats
    now: float


def story_of(tracks: PreparedTracks, p: Floats, trace: FilterTrace, track: int) -> Story:
    """Cut one track out of a pass of the filter over several."""
    part = slice(int(tracks.offsets[track]), int(tracks.offsets[track + 1]))
    return Story(
        tracks.type[part],
        tracks.at[part],
        trace.before[part],
        trace.after[part],
        p[track],
        float(tracks.now[track]),
    )


def evidence(model: StageModel, track: Tracks, now: float, top: int = 8) -> list[Evidence]:
    """What the raw estimate of one track is made of; the effects add up to its log-odds of intent.

    First comes the start, then the `top` largest effects, newest first, then one `rest`; what there is much
    of is told as one. `estimate_from` gives the estimate back. Raises ValueError unless there is exactly one
    track.
    """
    if len(track) != 1:
        raise ValueError("evidence is of one track at a time")
    prepared = prepare_tracks(model, track, now)
    story = story_of(prepared, *trace_prepared(model, prepared), 0)
    return [Evidence("start", None, None, start_odds(model)), *_largest(effects(model, story, 1.0), top)]


def shown_evidence(
    model: StageModel,
    story: Story,
    shown: float,
    *,
    share: float = 1.0,
    pooled: float | None = None,
    outcome_count: int | None = None,
    top: int = 8,
) -> list[Evidence]:
    """What a displayed estimate is made of; the effects add up to its log-odds of intent, `shown`.

    The anchored log-odds move with the raw ones, `evidence_power` times as far: so every signal's effect is
    that much of its raw one, and a person's, pooled with an account's by `share`, that share of it. `pooled`
    are the anchored log-odds of both together: what the person's story doesn't account for is the account's
    part. `outcome_count` says that the display is calibrated; its part is the rest.
    """
    power = model.display.evidence_power
    reasons = [Evidence("start", None, None, prevalent_odds(model))]
    reasons += _largest(effects(model, story, power * share), top)
    if pooled is not None:
        reasons.append(Evidence("account", None, None, pooled - math.fsum(one.effect for one in reasons)))
    if outcome_count is not None:
        left = shown - math.fsum(one.effect for one in reasons)
        reasons.append(Evidence("outcomes", None, None, left, count=outcome_count))
    return reasons


def effects(model: StageModel, story: Story, scale: float) -> list[Evidence]:
    """Each signal and each silence of a story, by time, with `scale` times what it added to the log-odds.

    Along the filtering pass they change the log-odds by differences that telescope: start + signals +
    silences = final. A signal's share therefore counts what was known before it.
    """
    found: list[Evidence] = []
    level, since = start_odds(model), None
    before, after = log_odds(intent(model, story.before)), log_odds(intent(model, story.after))
    names = (*model.signal_types, *OUTCOMES)
    moments, kinds = story.at.tolist(), story.type.tolist()
    for at, kind, came, went in zip(moments, kinds, before.tolist(), after.tolist(), strict=True):
        if since is not None and at > since:
            found.append(Evidence("silence", None, since, scale * (came - level), until=at))
            level = came
        found.append(Evidence("signal", names[kind], at, scale * (went - level)))
        level, since = went, at
    if since is not None and story.now > since:
        end = float(log_odds(intent(model, story.final)))
        found.append(Evidence("silence", None, since, scale * (end - level), until=story.now))
    return found


def estimate_from(shown: Sequence[Evidence]) -> float:
    """The probability of intent that the evidence shown amounts to, by itself."""
    total = math.fsum(one.effect for one in shown)
    return 1.0 / (1.0 + math.exp(-total))


def _largest(found: list[Evidence], top: int) -> list[Evidence]:
    worth = [one for one in found if one.kind != "silence" or _lasted(one) >= SHORT_SILENCE_DAYS]
    told = sorted(_grouped(worth), key=lambda one: (-abs(one.effect), -(one.at or 0.0)))
    shown = sorted(told[:top], key=lambda one: (-(one.until or one.at or 0.0), one.kind))
    short = [one for one in found if one.kind == "silence" and _lasted(one) < SHORT_SILENCE_DAYS]
    rest = [*told[top:], *short]
    if rest:
        total = math.fsum(one.effect for one in rest)
        shown.append(Evidence("rest", None, None, total, count=sum(one.count for one in rest)))
    return shown


def _grouped(found: list[Evidence]) -> list[Evidence]:
    """Signals of a type told as one, and all silences but the one that lasts, where there are many.

    A buyer of months has dozens of each, and a list of the largest would name silences alone.
    """
    alike: dict[tuple[str, str | None], list[Evidence]] = {}
    for place, one in enumerate(found):
        lasts = one.kind == "silence" and place == len(found) - 1
        alike.setdefault(("lasting" if lasts else one.kind, one.signal_type), []).append(one)
    grouped: list[Evidence] = []
    for same in alike.values():
        if len(same) <= SINGLY:
            grouped += same
            continue
        told = max(same, key=lambda one: _lasted(one) if one.kind == "silence" else one.at or 0.0)
        grouped.append(replace(told, effect=math.fsum(one.effect for one in same), count=len(same)))
    return grouped


def _lasted(one: Evidence) -> float:
    return ((one.until or 0.0) - (one.at or 0.0)) / SECONDS_PER_DAY
