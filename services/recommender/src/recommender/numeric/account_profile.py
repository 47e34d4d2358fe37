"""One profile for the people of an account together: what the buying group has engaged with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recommender.domain.profile import WEIGHT_CAP, Profile, empty_profile


def merge_profiles(profiles: Sequence[Profile]) -> Profile | None:
    """Weights are added up to the cap, times span all; impressions are left out, they were one person's.

    None when nobody has engaged with anything. The order of the profiles makes no difference.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for profile in profiles:
        rows = zip(profile.asset_ids, profile.weights, profile.first_at, profile.last_at, strict=True)
        for asset_id, weight, first, last in rows:
            found.setdefault(asset_id, []).append((float(weight), float(first), float(last)))
    if not found:
        return None
    last = {asset_id: max(row[2] for row in rows) for asset_id, rows in found.items()}
    ordered = sorted(found, key=lambda asset_id: (last[asset_id], asset_id))
    nothing = empty_profile()
    return Profile(
        asset_ids=tuple(ordered),
        weights=np.array([min(WEIGHT_CAP, math.fsum(row[0] for row in found[a])) for a in ordered]),
        first_at=np.array([min(row[1] for row in found[a]) for a in ordered]),
        last_at=np.array([last[a] for a in ordered]),
        shown_ids=nothing.shown_ids,
        shown_count=nothing.shown_count,
        shown_last_at=nothing.shown_last_at,
    )
