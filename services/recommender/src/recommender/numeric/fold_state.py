"""Folding a buyer's signals into their state: the profile and the stage track, from the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.domain.buyer_state import BuyerState, StageTrack
from recommender.domain.profile import SignalColumns
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.fold import fold_profile

# The stage filter counts at most this many signals of a type and day, so a track need not hold more.
_CAP_PER_TYPE_AND_DAY = 2
_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class LoggedSignal:
    """One row of the log: `at` epoch seconds, `asset_type` of the asset where it is known."""

    at: float
    kind: str
    asset_id: str | None
    weight: float
    asset_type: str | None


def fold_state(signals: Sequence[LoggedSignal], kinds: SignalKinds, now: float) -> BuyerState:
    """Replay signals, in any order, up to `now` (epoch seconds). The same set gives the same bits.

    Kinds that the table does not know (identify, group, alias, or from an older table) count as seen, and
    say nothing of interest or stage.
    """
    index = {name: position for position, name in enumerate(kinds.names)}
    past = [s for s in signals if s.at <= now]
    telling = [s for s in past if s.kind in index]
    columns = SignalColumns(
        at=np.array([s.at for s in telling]),
        kind=np.array([index[s.kind] for s in telling], dtype=np.int16),
        asset_ids=[s.asset_id for s in telling],
        weight=np.array([s.weight for s in telling]),
        person=np.zeros(len(telling), dtype=np.int32),
    )
    times = [s.at for s in past if s.weight > 0]
    return BuyerState(
        profile=fold_profile(columns, kinds, now),
        track=_stage_track(telling, kinds),
        signal_count=len(past),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )


def _stage_track(signals: Sequence[LoggedSignal], kinds: SignalKinds) -> StageTrack:
    typed = [
        (s.at, stage_signal, s.weight)
        for s in signals
        if s.weight > 0 and (stage_signal := kinds.stage_signal_of(s.kind, s.asset_type)) is not None
    ]
    counts: dict[tuple[str, int], int] = {}
    kept: list[tuple[float, str, float]] = []
    # By falling weight within one moment, as the filter orders what it caps.
    for at, name, weight in sorted(typed, key=lambda t: (t[0], t[1], -t[2])):
        day = (name, int(at // _SECONDS_PER_DAY))
        counts[day] = counts.get(day, 0) + 1
        if counts[day] <= _CAP_PER_TYPE_AND_DAY:
            kept.append((at, name, weight))
    return StageTrack(
        np.array([k[0] for k in kept]), tuple(k[1] for k in kept), np.array([k[2] for k in kept])
    )
