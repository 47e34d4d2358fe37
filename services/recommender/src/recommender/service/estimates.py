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
        person = Tracks.of(self.model, [self.person_signals(view)])
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
        signals, people = self.account_signals(account)
        track = Tracks.of(self.model, [signals], people)
        return StageEstimate(filter_tracks(self.model, track, now)[0], track, bool(signals))

    def person_signals(self, view: BuyerView) -> list[StageSignal]:
        """The person's own signals, and what the sales system said of their account."""
        outcomes = () if view.account is None else view.account.outcomes
        return [*_signals(view.state, 1.0), *self._outcomes(outcomes)]

    def account_signals(self, account: AccountView) -> tuple[list[StageSignal], int]:
        """→ (the union of the people's signals, how many people there are, at least 1)."""
        signals: list[StageSignal] = []
        people = 0
        for member in account.members:
            weight = self.model.role_weight(member.role)
            if weight > 0:
                people += 1
                signals += _signals(member.state, weight)
        return [*signals, *self._outcomes(account.outcomes)], max(1, people)

    def pooled(self, person: NDArray[np.float64], account: NDArray[np.float64]) -> NDArray[np.float64]:
        """A person's and their account's raw estimates [B, S] as one."""
        return pool(self.model, person, account)

    def names(self, raw: NDArray[np.float64]) -> list[BuyerStage]:
        """The stage that each raw estimate [B, S] is shown as."""
        return [_stage_name(one.name) for one in display(self.model, anchor(self.model, raw))]

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
