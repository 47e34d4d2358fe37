"""Signals of many buyers or accounts as ragged arrays, and their cleaning, capping and ordering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recommender.domain.stages import OUTCOMES, SECONDS_PER_DAY, UNKNOWN_TYPE, Floats, StageModel

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StageSignal:
    """One signal of a track: seconds since the epoch, name of its type, weight 0 to 1 (0 moves nothing)."""

    at: float
    type: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """B tracks, each one person's or one account's signals, in any order, duplicates by id removed.

    offsets [B+1] int64: track b owns signals offsets[b] to offsets[b+1]; at [N] float64 seconds since the
    epoch; type [N] int64 index by `StageModel.signal_index`, UNKNOWN_TYPE for one without a row; weight [N]
    float64 from 0 (bot, competitor, flagged) to 1, the role's weight in an account; people [B] float64, the
    known people: 1 for a person. An account's track is the union of its people's signals. Outcomes concern
    every person of the account, so they belong into each one's track too. Raises ValueError on arrays that
    do not fit together.
    """

    offsets: Ints
    at: Floats
    type: Ints
    weight: Floats
    people: Floats

    def __post_init__(self) -> None:
        count = len(self.at)
        if (
            self.offsets.ndim != 1
            or len(self.offsets) < 1
            or self.offsets[0] != 0
            or self.offsets[-1] != count
        ):
            raise ValueError("offsets must be [B+1], from 0 to the number of signals")
        if np.any(np.diff(self.offsets) < 0):
            raise ValueError("offsets must not fall")
        if self.at.shape != (count,) or self.type.shape != (count,) or self.weight.shape != (count,):
            raise ValueError("at, type and weight must have one entry for each signal")
        if self.people.shape != (len(self.offsets) - 1,):
            raise ValueError("people must have one entry for each track")
        if not np.all((self.weight >= 0) & (self.weight <= 1)):
            raise ValueError("weights must be from 0 to 1")
        if not np.all(np.isfinite(self.people)):
            raise ValueError("people must be finite")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(
        cls, model: StageModel, sequences: Sequence[Iterable[StageSignal]], people: ArrayLike | None = None
    ) -> Tracks:
        """Tracks from sequences of signals; `people` is [B] or one number, 1 when left out."""
        lists = [list(sequence) for sequence in sequences]
        signals = [signal for sequence in lists for signal in sequence]
        index = model.signal_index
        return cls(
            offsets=np.concatenate(([0], np.cumsum([len(one) for one in lists], dtype=np.int64))).astype(
                np.int64
            ),
            at=np.array([signal.at for signal in signals], dtype=np.float64),
            type=np.array([index.get(signal.type, UNKNOWN_TYPE) for signal in signals], dtype=np.int64),
            weight=np.array([signal.weight for signal in signals], dtype=np.float64),
            people=np.broadcast_to(
                np.asarray(1.0 if people is None else people, np.float64), len(lists)
            ).copy(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTracks:
    """The signals that count, in the order in which they act: by (track, at, type, weight falling).

    `anchor` [N] is the moment from which the silence after each signal counts its age: the last thing the
    track's people did (an outcome is the sales system's act, not theirs), or before any the first outcome.
    The counts [B] say how many signals of each track were left out and why.
    """

    offsets: Ints
    at: Floats
    type: Ints
    weight: Floats
    anchor: Floats
    people: Floats
    now: Floats
    future_count: Ints
    too_early_count: Ints
    weightless_count: Ints
    unknown_count: Ints
    capped_count: Ints

    def __len__(self) -> int:
        return len(self.people)


def prepare_tracks(model: StageModel, tracks: Tracks, now: ArrayLike) -> PreparedTracks:
    """Drop what must move nothing, cap what repeats, and order the rest.

    `now` is [B] or one number, seconds since the epoch. Left out are signals without a row, of weight 0,
    after `now` (or at no finite time), before `filter.earliest`, and all but the earliest
    `cap_per_type_and_day` of one type on one UTC day. The result depends on the set of signals alone, not on
    their order: equal ones may change places, and nothing else ties. Of what is left the latest
    `most_signals` of a track count, which bounds the work and memory of what follows; `capped_count` counts
    the others too.
    """
    count = len(tracks)
    now_of = np.broadcast_to(np.asarray(now, dtype=np.float64), (count,)).copy()
    if not np.all(np.isfinite(now_of)):
        raise ValueError("now must be finite")
    track = np.repeat(np.arange(count), np.diff(tracks.offsets))
    at, kind, weight = tracks.at, tracks.type, tracks.weight
    unknown = (kind < 0) | (kind >= len(model.signal_types) + len(OUTCOMES))
    weightless = ~unknown & (weight == 0)
    counted = ~unknown & ~weightless
    future = counted & ~(at <= now_of[track])  # what is no number at all is no earlier than now either
    too_early = counted & (at < model.filter.earliest)
    keep = np.flatnonzero(counted & ~future & ~too_early)

    track_, at_, kind_, weight_ = track[keep], at[keep], kind[keep], weight[keep]
    day = np.floor(at_ / SECONDS_PER_DAY)
    by_day = np.lexsort((-weight_, at_, day, kind_, track_))
    starts = np.zeros(len(keep), dtype=bool)  # the first signal of a track, type and day
    for column in (track_, kind_, day):
        ordered = column[by_day]
        starts[1:] |= ordered[1:] != ordered[:-1]
    position = np.arange(len(keep))
    first = np.maximum.accumulate(np.where(starts, position, 0))
    within = by_day[position - first < model.filter.cap_per_type_and_day]

    order = within[np.lexsort((-weight_[within], kind_[within], at_[within], track_[within]))]
    order = order[_places_from_the_end(track_[order], count) < model.filter.most_signals]
    track_o, at_o, kind_o = track_[order], at_[order], kind_[order]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(track_o, minlength=count)))).astype(np.int64)

    def per_track(mask: NDArray[np.bool_]) -> Ints:
        return np.bincount(track[mask], minlength=count).astype(np.int64)

    return PreparedTracks(
        offsets=offsets,
        at=at_o,
        type=kind_o,
        weight=weight_[order],
        anchor=_anchors(offsets, track_o, at_o, kind_o < len(model.signal_types)),
        people=np.maximum(tracks.people, 1.0),
        now=now_of,
        future_count=per_track(future),
        too_early_count=per_track(too_early),
        weightless_count=per_track(weightless),
        unknown_count=per_track(unknown),
        capped_count=np.bincount(track_, minlength=count).astype(np.int64) - np.diff(offsets),
    )


def _places_from_the_end(track: Ints, count: int) -> Ints:
    """How many signals of the same track come after each. track [N], not falling; returns [N]."""
    ends = np.cumsum(np.bincount(track, minlength=count))
    return np.asarray(ends[track] - 1 - np.arange(len(track)))


def _anchors(offsets: Ints, track: Ints, at: Floats, is_behaviour: NDArray[np.bool_]) -> Floats:
    """Time [N] of a track's last behaviour at or before each signal; before any, of its first signal."""
    position = np.arange(len(at))
    first = offsets[track]
    last = np.maximum.accumulate(np.where(is_behaviour, position, -1)) if len(at) else position
    return at[np.maximum(last, first)]
