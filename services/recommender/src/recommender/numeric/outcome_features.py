"""What a calibration reads of an account at a moment: its estimate, and what how many people did of late."""

from __future__ import annotations

import numpy as np

from recommender.domain.stages import SECONDS_PER_DAY, Floats, StageModel
from recommender.numeric.stage_display import log_odds
from recommender.numeric.stage_tracks import PreparedTracks

LEAST_MASS = 1e-6
"""Log-odds are read no further out than this probability: beyond it they say nothing more of buying."""


def falling_names(model: StageModel) -> tuple[str, ...]:
    """Features that fall while a track is silent; a calibration may only reward them."""
    ladder = model.filter.ladder
    rungs = [f"estimate:{'+'.join(model.states[s] for s in ladder[i:])}" for i in range(len(ladder))]
    memories = [f"activity:{days:g}d" for days in model.calibration.decay_days]
    return (*rungs, "people_active", "recency", *memories)


def resting_names(model: StageModel) -> tuple[str, ...]:
    """Features that silence leaves alone, so that a calibration may weigh them either way."""
    return tuple(f"{one}:{days:g}d" for days in model.calibration.decay_days for one in model.signal_types)


def outcome_features(model: StageModel, tracks: PreparedTracks, p: Floats, active: Floats) -> Floats:
    """Features [B, F] of B tracks at their `now`: the falling ones and then the resting ones.

    p [B, S] their raw estimates; active [B] people seen within `active_days`. Falling: the log-odds of
    being on each rung of the ladder or above it, the active people, how recent the last signal is, and all
    signals with their decay. Resting: each signal with its decay, as it stood at the last one. What somebody
    did tells buyers from mere readers and must count both ways (much reading without a look at a product
    speaks against), but a day of silence must never make anybody look nearer because their reading fades.
    Counts enter as square roots: the tenth page view says less than the first.
    """
    settings, count, kinds = model.calibration, len(tracks), len(model.signal_types)
    ladder = list(model.filter.ladder)
    rungs = [
        log_odds(np.clip(p[:, ladder[i:]].sum(axis=1), LEAST_MASS, 1.0 - LEAST_MASS))
        for i in range(len(ladder))
    ]
    of_track = np.repeat(np.arange(count), np.diff(tracks.offsets))
    behaviour = tracks.type < kinds
    track, at = of_track[behaviour], tracks.at[behaviour]
    last = np.full(count, -np.inf)
    np.maximum.at(last, track, at)
    place = track * kinds + tracks.type[behaviour]
    quiet_days = (tracks.now - last) / SECONDS_PER_DAY
    since_last = (last[track] - at) / SECONDS_PER_DAY
    resting, activity = [], []
    for days in settings.decay_days:
        decayed = tracks.weight[behaviour] * np.exp(-since_last / days)
        sums = np.bincount(place, weights=decayed, minlength=count * kinds).reshape(count, kinds)
        resting.append(np.sqrt(sums))
        activity.append(np.sqrt(sums.sum(axis=1) * np.exp(-quiet_days / days)))
    recency = np.exp(-quiet_days / settings.active_days)
    return np.column_stack([*rungs, np.log1p(active), recency, *activity, *resting]).astype(np.float64)
