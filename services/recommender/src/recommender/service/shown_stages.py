"""The stages that many buyers and accounts are shown at, found in one pass of the filter.

`StageEstimator.shown` is the slow twin, one buyer at a time; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.base import BuyerStage
from recommender.numeric.calibration import calibrated
from recommender.numeric.outcome_features import outcome_features
from recommender.numeric.stage_display import anchor, display
from recommender.numeric.stage_filter import filter_prepared
from recommender.numeric.stage_tracks import StageSignal, Tracks, prepare_tracks
from recommender.service.buyer_view import AccountView, BuyerView
from recommender.service.estimates import StageEstimator, is_selling, stage_name

Ints = NDArray[np.intp]


def shown_stages(
    estimator: StageEstimator, views: Sequence[BuyerView], accounts: Mapping[int, AccountView], now: float
) -> tuple[list[BuyerStage], list[BuyerStage]]:
    """→ (of each buyer, of each account), at `now` (epoch seconds); `accounts` by id, all of the views'."""
    if not views and not accounts:
        return [], []
    model, groups = estimator.model, list(accounts.values())
    said = [estimator.account_signals(account) for account in groups]
    signals = [*(estimator.person_signals(view) for view in views), *(group for group, _ in said)]
    people = np.array([1] * len(views) + [count for _, count in said], dtype=np.float64)
    tracks = prepare_tracks(model, Tracks.of(model, signals, people), now)
    p = filter_prepared(model, tracks)
    own, others = _told_by(views, accounts, signals)
    both = np.flatnonzero(others >= 0)
    raw = p[own]
    raw[both] = estimator.pooled(p[own[both]], p[others[both]])
    displayed = anchor(model, raw)
    calibration = estimator.calibration()
    if calibration is not None:
        states = [*([view.state] for view in views), *(estimator.counted(account) for account in groups)]
        active = estimator.active_people(states, now)
        learnt = calibration.evidence(outcome_features(model, tracks, p, active))
        evidence, share = learnt[own], model.person_weight
        evidence[both] = share * learnt[own[both]] + (1.0 - share) * learnt[others[both]]
        outcomes = [() if view.account is None else view.account.outcomes for view in views]
        # Where the sales system has said that it sells, that is shown and not a chance.
        asked = ~np.array([is_selling(o) for o in [*outcomes, *(a.outcomes for a in groups)]], dtype=np.bool_)
        displayed[asked] = calibrated(model, raw[asked], evidence[asked])
    names = [stage_name(one.name) for one in display(model, displayed)]
    return names[: len(views)], names[len(views) :]


def _told_by(
    views: Sequence[BuyerView], accounts: Mapping[int, AccountView], signals: Sequence[Sequence[StageSignal]]
) -> tuple[Ints, Ints]:
    """Which track tells of each buyer and account, and which is pooled with it, -1 for none."""
    of = {id_: len(views) + number for number, id_ in enumerate(accounts)}
    own = np.arange(len(views) + len(accounts))
    others = np.full(len(own), -1)
    for row, view in enumerate(views):
        if view.account is None:
            continue
        account = of[view.account.row.account_id]
        if view.state.last_at is None:  # nothing is known of them but where they belong
            own[row] = account
        elif signals[account]:
            others[row] = account
    return own, others
