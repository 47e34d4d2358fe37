"""Stage estimates of a person, an account, and both together, with their evidence in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from contract.base import BuyerStage
from contract.recommendations import BuyerStageEstimate, Evidence
from recommender.domain.buyer_state import BuyerState, moment
from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import SECONDS_PER_DAY, StageModel
from recommender.numeric.calibration import Calibration, calibrated
from recommender.numeric.fold_state import LoggedSignal
from recommender.numeric.outcome_features import outcome_features
from recommender.numeric.stage_display import anchor, display, intent, log_odds, pool
from recommender.numeric.stage_evidence import Story, effects, shown_evidence, story_of
from recommender.numeric.stage_filter import FilterTrace, trace_prepared
from recommender.numeric.stage_sentences import sentence
from recommender.numeric.stage_tracks import PreparedTracks, StageSignal, Tracks, prepare_tracks
from recommender.service.buyer_view import AccountView, BuyerView

_EVIDENCE_SHOWN = 8
STAGE_NAMES: tuple[BuyerStage, ...] = get_args(BuyerStage)


@dataclass(frozen=True, slots=True, eq=False)
class StagePass:
    """One pass of the filter over the person's track, the account's or both; the person's comes first."""

    tracks: PreparedTracks
    p: NDArray[np.float64]
    trace: FilterTrace
    active: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StageEstimate:
    """`raw` float64 [7] over the model's states, for ranking. The rest is what display and evidence are drawn
    from when they are asked for: `told` the track whose story is told, `others` the account's where it is
    pooled with the person's, `selling` whether the sales system has an opportunity open.
    """

    raw: NDArray[np.float64]
    known: bool
    passed: StagePass
    told: int
    others: int | None
    selling: bool


def no_calibration() -> None:
    """Where no outcomes are known, and in tests."""


class StageEstimator:
    """Applies the stage model to views of buyers and accounts at a moment (epoch seconds).

    `calibration` gives what was learnt from outcomes last, or None; one of another stage file is not used.
    """

    def __init__(
        self,
        model: StageModel,
        kinds: SignalKinds,
        calibration: Callable[[], Calibration | None] = no_calibration,
    ) -> None:
        self.model = model
        self._kinds = kinds
        self._calibration = calibration

    def calibration(self) -> Calibration | None:
        """What was learnt from outcomes, if it was learnt for this very model."""
        found = self._calibration()
        return found if found is not None and found.fits(self.model) else None

    def stage_signal_of(self, kind: str, asset_type: str | None) -> str | None:
        """As what the stage model reads a signal of this kind; None where it says nothing of the stage."""
        return self._kinds.stage_signal_of(kind, asset_type)

    def of_buyer(self, view: BuyerView, now: float) -> StageEstimate:
        """The person's own estimate pooled with the account's; the account's alone for a stranger in it."""
        known = view.state.last_at is not None
        outcomes = () if view.account is None else view.account.outcomes
        own = self.person_signals(view)
        if view.account is None:
            return self._single(own, 1, [view.state], known, (), now)
        (group, people), states = self.account_signals(view.account), self.counted(view.account)
        if not known:
            return self._single(group, people, states, bool(group), outcomes, now)
        if not group:
            return self._single(own, 1, [view.state], known, outcomes, now)
        passed = self._pass([own, group], [1, people], [[view.state], states], now)
        raw = pool(self.model, passed.p[:1], passed.p[1:])[0]
        return StageEstimate(raw, True, passed, told=0, others=1, selling=is_selling(outcomes))

    def of_account(self, account: AccountView, now: float) -> StageEstimate:
        """Filtered over the union of the people's signals, weighted by role; outcomes count once."""
        signals, people = self.account_signals(account)
        states = self.counted(account)
        return self._single(signals, people, states, bool(signals), account.outcomes, now)

    def person_signals(self, view: BuyerView) -> list[StageSignal]:
        """The person's own signals, and what the sales system said of their account."""
        outcomes = () if view.account is None else view.account.outcomes
        return [*_signals(view.state, 1.0), *_outcomes(outcomes)]

    def account_signals(self, account: AccountView) -> tuple[list[StageSignal], int]:
        """→ (the union of the people's signals, how many people there are, at least 1)."""
        signals: list[StageSignal] = []
        people = 0
        for member in account.members:
            weight = self.model.role_weight(member.role)
            if weight > 0:
                people += 1
                signals += _signals(member.state, weight)
        return [*signals, *_outcomes(account.outcomes)], max(1, people)

    def pooled(self, person: NDArray[np.float64], account: NDArray[np.float64]) -> NDArray[np.float64]:
        """A person's and their account's raw estimates [B, S] as one."""
        return pool(self.model, person, account)

    def names(self, raw: NDArray[np.float64]) -> list[BuyerStage]:
        """The stage that each raw estimate [B, S] is shown as while there is no calibration."""
        return [stage_name(one.name) for one in display(self.model, anchor(self.model, raw))]

    def shown(self, estimate: StageEstimate, now: float, *, with_evidence: bool) -> BuyerStageEstimate:
        """The estimate as it may be shown: anchored to prevalence or, once there are outcomes enough,
        calibrated; named; and explained by evidence that adds up to it.
        """
        calibration = None if estimate.selling else self.calibration()
        p = self._displayed(estimate, calibration)
        displayed = display(self.model, p[None, :])[0]
        at = moment(now)
        if at is None:  # a float is always a moment
            raise ValueError("now is not a moment")
        # What was made here need not be checked field by field.
        return BuyerStageEstimate.model_construct(
            name=stage_name(displayed.name),
            confidence=round(float(displayed.confidence), 4),
            distribution={stage_name(name): round(float(p), 4) for name, p in displayed.distribution.items()},
            evidence=self._evidence(estimate, calibration, p, now) if with_evidence else (),
            as_of=at,
        )

    def signal_effects(self, estimate: StageEstimate) -> list[tuple[str, float, float]]:
        """(stage signal, when in epoch seconds, added log-odds of intent) of all signals of the told track,
        oldest first, on the scale of the evidence that is shown.
        """
        passed, model = estimate.passed, self.model
        story = story_of(passed.tracks, passed.p, passed.trace, estimate.told)
        share = 1.0 if estimate.others is None else model.person_weight
        return [
            (one.signal_type, one.at, one.effect)
            for one in effects(model, story, model.display.evidence_power * share)
            if one.kind == "signal" and one.signal_type is not None and one.at is not None
        ]

    def opportunity_chance(self, estimate: StageEstimate) -> tuple[float, float] | None:
        """(the calibrated chance that an opportunity opens in time, in so many days), if it can be told."""
        calibration = None if estimate.selling else self.calibration()
        if calibration is None:
            return None
        passed, track = estimate.passed, estimate.told if estimate.others is None else estimate.others
        x = outcome_features(self.model, passed.tracks, passed.p, passed.active)
        return float(calibration.probability(x)[track]), calibration.horizon_days

    def _displayed(self, estimate: StageEstimate, calibration: Calibration | None) -> NDArray[np.float64]:
        """What may be shown [S]; calibrated evidence of person and account is pooled as estimates are."""
        raw = estimate.raw[None, :]
        if calibration is None:
            return np.asarray(anchor(self.model, raw)[0])
        passed = estimate.passed
        found = calibration.evidence(outcome_features(self.model, passed.tracks, passed.p, passed.active))
        learnt = found[estimate.told]
        if estimate.others is not None:
            share = self.model.person_weight
            learnt = share * learnt + (1.0 - share) * found[estimate.others]
        return np.asarray(calibrated(self.model, raw, np.array([learnt]))[0])

    def _evidence(
        self,
        estimate: StageEstimate,
        calibration: Calibration | None,
        p: NDArray[np.float64],
        now: float,
    ) -> tuple[Evidence, ...]:
        model, passed = self.model, estimate.passed
        story: Story = story_of(passed.tracks, passed.p, passed.trace, estimate.told)
        pooled = estimate.others is not None
        found = shown_evidence(
            model,
            story,
            float(log_odds(intent(model, p))),
            share=model.person_weight if pooled else 1.0,
            pooled=float(log_odds(intent(model, anchor(model, estimate.raw)))) if pooled else None,
            outcome_count=None if calibration is None else calibration.outcome_count,
            top=_EVIDENCE_SHOWN,
        )
        return tuple(
            Evidence.model_construct(
                signal=one.signal_type or one.kind,
                at=moment(one.at),
                effect=round(one.effect, 6),
                text=sentence(model, one, now),
            )
            for one in found
        )

    def counted(self, account: AccountView) -> list[BuyerState]:
        """The states of the people whose signals count."""
        return [m.state for m in account.members if self.model.role_weight(m.role) > 0]

    def _single(
        self,
        signals: list[StageSignal],
        people: int,
        states: Sequence[BuyerState],
        known: bool,
        outcomes: Sequence[LoggedSignal],
        now: float,
    ) -> StageEstimate:
        passed = self._pass([signals], [people], [states], now)
        return StageEstimate(passed.p[0], known, passed, told=0, others=None, selling=is_selling(outcomes))

    def _pass(
        self,
        sequences: Sequence[list[StageSignal]],
        people: Sequence[int],
        states: Sequence[Sequence[BuyerState]],
        now: float,
    ) -> StagePass:
        tracks = prepare_tracks(self.model, Tracks.of(self.model, sequences, np.array(people, float)), now)
        p, trace = trace_prepared(self.model, tracks)
        return StagePass(tracks, p, trace, self.active_people(states, now))

    def active_people(self, states: Sequence[Sequence[BuyerState]], now: float) -> NDArray[np.float64]:
        """How many people [B] of each group were seen of late."""
        since = now - self.model.calibration.active_days * SECONDS_PER_DAY
        return np.array([sum(_active(state, since, now) for state in group) for group in states], np.float64)


def _active(state: BuyerState, since: float, now: float) -> bool:
    at = state.track.at
    return bool(len(at)) and bool(np.any((at > since) & (at <= now) & (state.track.weight > 0)))


def is_selling(outcomes: Sequence[LoggedSignal]) -> bool:
    """Whether the last thing the sales system said is that an opportunity opened."""
    last = max(outcomes, key=lambda o: (o.at, o.kind != "opportunity_opened"), default=None)
    return last is not None and last.kind == "opportunity_opened"


def _outcomes(outcomes: Sequence[LoggedSignal]) -> list[StageSignal]:
    return [StageSignal(o.at, o.kind, o.weight) for o in outcomes]


def _signals(state: BuyerState, weight: float) -> list[StageSignal]:
    track = state.track
    return [
        StageSignal(at, name, own * weight)
        for at, name, own in zip(track.at.tolist(), track.types, track.weight.tolist(), strict=True)
    ]


def stage_name(name: str) -> BuyerStage:
    return next(known for known in STAGE_NAMES if known == name)
