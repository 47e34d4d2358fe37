"""Folding: from a buyer's signals to the profile. Any order of arrival gives the same profile."""

from __future__ import annotations

import numpy as np

from recommender.domain.profile import WEIGHT_CAP, Profile, SignalColumns
from recommender.domain.signal_kinds import SignalKinds


def fold_profile(signals: SignalColumns, kinds: SignalKinds, now: float) -> Profile:
    """Replay the signals up to `now` (epoch seconds) into a profile; later ones have not happened yet.

    Sums are taken in sorted order, so that the same set of signals gives the same bits.
    """
    engagement = np.asarray(kinds.engagement)[signals.kind] * signals.weight
    impression = kinds.index("impression")
    engaged: dict[str, tuple[float, float, float]] = {}
    shown: dict[str, list[float]] = {}
    for row in np.lexsort((engagement, signals.at)):
        at = float(signals.at[row])
        if at > now:
            break
        asset_id = signals.asset_ids[row]
        if asset_id is None or signals.weight[row] <= 0:
            continue
        if signals.kind[row] == impression:
            shown.setdefault(asset_id, []).append(at)
        elif engagement[row] > 0:
            weight, first, _ = engaged.get(asset_id, (0.0, at, at))
            engaged[asset_id] = (min(WEIGHT_CAP, weight + float(engagement[row])), first, at)
    ordered = sorted(engaged, key=lambda a: (engaged[a][2], a))
    unanswered = {}
    for asset_id, times in shown.items():
        since = engaged[asset_id][2] if asset_id in engaged else -np.inf
        later = [at for at in times if at > since]
        if later:
            unanswered[asset_id] = (len(later), max(later))
    shown_ids = tuple(sorted(unanswered))
    return Profile(
        asset_ids=tuple(ordered),
        weights=np.array([engaged[a][0] for a in ordered]),
        first_at=np.array([engaged[a][1] for a in ordered]),
        last_at=np.array([engaged[a][2] for a in ordered]),
        shown_ids=shown_ids,
        shown_count=np.array([unanswered[a][0] for a in shown_ids], dtype=np.int32),
        shown_last_at=np.array([unanswered[a][1] for a in shown_ids]),
    )
