"""Stage estimates of a person, an account, and both together, with their evidence in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from contract.base import BuyerStage
from contract.recommendations import BuyerStageEstimate, Evidence
from recommender.domain.buyer_state import BuyerState, moment
from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import StageModel
from recommender.numeric.fold_state import LoggedSignal
from recommender.numeric.stage_display import anchor, display, pool
from recommender.numeric.stage_evidence import evidence, sentence
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import StageSignal, Tracks
from recommender.service.buyer_view import AccountView, BuyerView

_EVIDENCE_SHOWN = 8
STAGE_NAMES: tuple[BuyerStage, ...] = get_args(BuyerStage)


@dataclass(frozen=True, slots=True, eq=False)
class StageEstimate:
    """`raw` float64 [7] over the model's states, for ranking; `track` is what the evidence is drawn from."""

    raw: NDArray[np.float64]
    track: Tracks
    known: bool


class StageEstimator:
    """Applies the stage model to views of buyers and accounts at a moment (epoch seconds)."""

    def __init__(self, model: StageModel, kinds: SignalKinds) -> None:
        self.model = model
        self._kinds = kinds

    def of_buyer(self, view: BuyerView, now: float) -> StageEstimate:
        """The person's own estimate pooled with the account's; the account's alone for a stranger in it."""
        outcomes = () if view.account is None else view.account.outcomes
        person = Tracks.of(self.model, [[*_signals(view.state, 1.0), *self._outcomes(outcomes)]])
        own = filter_tracks(self.model, person, now)
        known = view.state.last_at is not None
        if view.account is None:
            return StageEstimate(own[0], person, known)
        account = self.of_account(view.account, now)
        if not known:
            return account
        if not account.known:
            return StageEstimate(own[0], person, known)
        return StageEstimate(pool(self.model, own, account.raw[None, :])[0], person, True)

    def of_account(self, account: AccountView, now: float) -> StageEstimate:
        """Filtered over the union of the people's signals, weighted by role; outcomes count once."""
        signals: list[StageSignal] = []
        people = 0
        for member in account.members:
            weight = self.model.role_weight(member.role)
            if weight > 0:
                people += 1
                signals += _signals(member.state, weight)
        signals += self._outcomes(account.outcomes)
        track = Tracks.of(self.model, [signals], max(1, people))
        return StageEstimate(filter_tracks(self.model, track, now)[0], track, bool(signals))

    def shown(self, estimate: StageEstimate, now: float, *, with_evidence: bool) -> BuyerStageEstimate:
        """The estimate as it may be shown: anchored to prevalence, named, explained."""
        displayed = display(self.model, anchor(self.model, estimate.raw[None, :]))[0]
        found: tuple[Evidence, ...] = ()
        if with_evidence:
            found = tuple(
                Evidence(
                    signal=one.signal_type or one.kind,
                    at=moment(one.at),
                    effect=round(one.effect, 6),
                    text=sentence(self.model, one, now),
                )
                for one in evidence(self.model, estimate.track, now, top=_EVIDENCE_SHOWN)
            )
        at = moment(now)
        if at is None:  # a float is always a moment
            raise ValueError("now is not a moment")
        return BuyerStageEstimate(
            name=_stage_name(displayed.name),
            confidence=round(displayed.confidence, 4),
            distribution={
                _stage_name(name): round(float(p), 4) for name, p in displayed.distribution.items()
            },
            evidence=found,
            as_of=at,
        )

    def _outcomes(self, outcomes: Sequence[LoggedSignal]) -> list[StageSignal]:
        return [StageSignal(o.at, o.kind, o.weight) for o in outcomes]


def _signals(state: BuyerState, weight: float) -> list[StageSignal]:
    track = state.track
    return [
        StageSignal(float(at), name, float(own) * weight)
        for at, name, own in zip(track.at, track.types, track.weight, strict=True)
    ]


def _stage_name(name: str) -> BuyerStage:
    return next(known for known in STAGE_NAMES if known == name)
