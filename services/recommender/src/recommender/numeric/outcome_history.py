"""What was known of accounts at moments of the past, and what became of it: snapshots to fit and judge on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.stages import SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.outcome_features import outcome_features
from recommender.numeric.stage_filter import filter_prepared
from recommender.numeric.stage_tracks import Tracks, prepare_tracks

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class AccountHistory:
    """One account's log, by time: at [N] epoch seconds, type [N] by `StageModel.signal_index`, weight [N]
    with the role in it, person [N] whose. opened: when opportunities opened; closed [M] when they were won or
    lost, won [M] which of the two.
    """

    at: Floats
    type: Ints
    weight: Floats
    person: Ints
    opened: Floats
    closed: Floats
    won: Mask

    @property
    def outcome_count(self) -> int:
        return len(self.opened) + len(self.closed)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshots:
    """Rows are account × moment: account [n] index of the history, at [n], x [n, F] features, p [n, S] raw
    estimates; asked [n]: no opportunity is open; opens [n]: one opens within the horizon.
    """

    account: Ints
    at: Floats
    x: Floats
    p: Floats
    asked: Mask
    opens: Mask


def take_snapshots(
    model: StageModel,
    histories: Sequence[AccountHistory],
    moments: Floats,
    horizon_days: float | None = None,
    *,
    with_outcomes: bool = True,
) -> Snapshots:
    """One row for each account at each moment, of what was known then and of nothing later.

    An account that had done nothing yet is a row too: it's what the others are told from. Outcomes that
    were known then are part of the estimate (`with_outcomes`).
    """
    horizon = (model.calibration.horizon_days if horizon_days is None else horizon_days) * SECONDS_PER_DAY
    parts = [_at_moment(model, histories, float(now), with_outcomes) for now in moments]
    size = len(model.states)
    return Snapshots(
        account=np.tile(np.arange(len(histories)), len(moments)),
        at=np.repeat(moments, len(histories)),
        x=np.concatenate([x for x, _ in parts]) if parts else np.zeros((0, 0)),
        p=np.concatenate([p for _, p in parts]) if parts else np.zeros((0, size)),
        asked=np.array([not _is_open(h, float(now)) for now in moments for h in histories], dtype=bool),
        opens=np.array(
            [
                bool(np.any((h.opened > now) & (h.opened <= now + horizon)))
                for now in moments
                for h in histories
            ],
            dtype=bool,
        ),
    )


def snapshot_moments(model: StageModel, histories: Sequence[AccountHistory], until: float) -> Floats:
    """Moments `step_days` apart whose horizon has passed by `until`, from the log's first month on."""
    settings = model.calibration
    first = min((float(h.at[0]) for h in histories if len(h.at)), default=until)
    end = until - settings.horizon_days * SECONDS_PER_DAY
    begin = first + settings.active_days * SECONDS_PER_DAY
    return np.arange(end, begin, -settings.step_days * SECONDS_PER_DAY)[::-1].copy()


def _at_moment(
    model: StageModel, histories: Sequence[AccountHistory], now: float, with_outcomes: bool
) -> tuple[Floats, Floats]:
    heard = [int(np.searchsorted(h.at, now, side="right")) for h in histories]
    since = now - model.calibration.active_days * SECONDS_PER_DAY
    people = np.ones(len(histories))
    active = np.zeros(len(histories))
    at: list[Floats] = []
    kind: list[Ints] = []
    weight: list[Floats] = []
    for i, (history, count) in enumerate(zip(histories, heard, strict=True)):
        counted = history.weight[:count] > 0
        persons = history.person[:count][counted]
        people[i] = max(1, len(set(persons.tolist())))
        active[i] = len(set(persons[history.at[:count][counted] > since].tolist()))
        outcomes = _outcomes(model, history, now) if with_outcomes else (np.zeros(0), np.zeros(0, np.int64))
        at.append(np.concatenate([history.at[:count], outcomes[0]]))
        kind.append(np.concatenate([history.type[:count], outcomes[1]]))
        weight.append(np.concatenate([history.weight[:count], np.ones(len(outcomes[0]))]))
    tracks = prepare_tracks(
        model,
        Tracks(
            np.concatenate([[0], np.cumsum([len(one) for one in at])]).astype(np.int64),
            np.concatenate(at),
            np.concatenate(kind),
            np.concatenate(weight),
            people,
        ),
        now,
    )
    p = filter_prepared(model, tracks)
    return outcome_features(model, tracks, p, active), p


def _outcomes(model: StageModel, history: AccountHistory, now: float) -> tuple[Floats, Ints]:
    """Times and types of what the sales system had said by then."""
    opened, done = history.opened[history.opened <= now], history.closed <= now
    index = model.signal_index
    ends = np.where(history.won[done], index["opportunity_won"], index["opportunity_lost"])
    kinds = np.concatenate([np.full(len(opened), index["opportunity_opened"]), ends]).astype(np.int64)
    return np.concatenate([opened, history.closed[done]]), kinds


def _is_open(history: AccountHistory, now: float) -> bool:
    opened, closed = history.opened[history.opened <= now], history.closed[history.closed <= now]
    return bool(len(opened)) and (not len(closed) or closed.max() < opened.max())
