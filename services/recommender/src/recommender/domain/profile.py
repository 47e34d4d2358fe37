"""A buyer's profile: a pure function of the signal log, holding ids, weights and times, never vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class SignalColumns:
    """Signals of one buyer (or one account) as columns, in any order.

    `at`: float64 [N], seconds since the Unix epoch. `kind`: int16 [N], index into `SignalKinds.names`.
    `asset_ids`: N ids or None. `weight`: float64 [N], 0 for bots. `person`: int32 [N], within the account.
    """

    at: FloatArray
    kind: NDArray[np.int16]
    asset_ids: Sequence[str | None]
    weight: FloatArray
    person: IntArray

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What the log says about one buyer's interest.

    Engagements, one row per distinct asset, by `last_at` ascending, ties by id:
    `asset_ids` [E]; `weights` float64 [E], sum of engagement weights, at most `WEIGHT_CAP`;
    `first_at`, `last_at` float64 [E], epoch seconds.
    Impressions, one row per distinct asset: `shown_ids` [I], `shown_count` int32 [I],
    `shown_last_at` float64 [I]; only those after the last engagement with that asset count.
    """

    asset_ids: tuple[str, ...]
    weights: FloatArray
    first_at: FloatArray
    last_at: FloatArray
    shown_ids: tuple[str, ...]
    shown_count: IntArray
    shown_last_at: FloatArray

    @property
    def is_empty(self) -> bool:
        return not self.asset_ids and not self.shown_ids


WEIGHT_CAP = 8.0


def empty_profile() -> Profile:
    floats, ints = np.empty(0), np.empty(0, dtype=np.int32)
    return Profile((), floats, floats, floats, (), ints, floats)
