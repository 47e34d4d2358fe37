"""What one buyer's log folds into: the profile for ranking and the track for stages, kept together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import orjson

from recommender.domain.profile import FloatArray, Profile, empty_profile

# Raised when the meaning of what is kept changes, so that every state is folded anew.
STATE_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class StageTrack:
    """Signals as the stage model reads them, by time: `at` float64 [M], `types` [M] names, `weight` [M]."""

    at: FloatArray
    types: tuple[str, ...]
    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class BuyerState:
    """A pure function of the buyer's signals. Times are epoch seconds; None where there is no signal."""

    profile: Profile
    track: StageTrack
    signal_count: int
    first_at: float | None
    last_at: float | None

    def to_bytes(self) -> bytes:
        profile, track = self.profile, self.track
        return orjson.dumps(
            {
                "ids": profile.asset_ids,
                "weights": profile.weights,
                "first": profile.first_at,
                "last": profile.last_at,
                "shown": profile.shown_ids,
                "shown_count": profile.shown_count,
                "shown_last": profile.shown_last_at,
                "track_at": track.at,
                "track_types": track.types,
                "track_weight": track.weight,
                "count": self.signal_count,
                "since": self.first_at,
                "until": self.last_at,
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> BuyerState:
        kept = orjson.loads(data)
        return cls(
            Profile(
                tuple(kept["ids"]),
                np.array(kept["weights"], dtype=np.float64),
                np.array(kept["first"], dtype=np.float64),
                np.array(kept["last"], dtype=np.float64),
                tuple(kept["shown"]),
                np.array(kept["shown_count"], dtype=np.int32),
                np.array(kept["shown_last"], dtype=np.float64),
            ),
            StageTrack(
                np.array(kept["track_at"], dtype=np.float64),
                tuple(kept["track_types"]),
                np.array(kept["track_weight"], dtype=np.float64),
            ),
            kept["count"],
            kept["since"],
            kept["until"],
        )


def empty_state() -> BuyerState:
    return BuyerState(empty_profile(), StageTrack(np.empty(0), (), np.empty(0)), 0, None, None)


def moment(seconds: float | None) -> datetime | None:
    """Epoch seconds as a time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
