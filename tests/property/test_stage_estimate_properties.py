"""What is shown of people and accounts: it adds up, and competitors, bots and repeats move nothing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.domain.buyer_state import BuyerState
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.numeric.calibration import Calibration
from recommender.numeric.fold_state import LoggedSignal, fold_state
from recommender.numeric.outcome_features import falling_names, resting_names
from recommender.service.buyer_view import AccountView, BuyerView, Member
from recommender.service.estimates import StageEstimator
from recommender.service.shown_stages import shown_stages
from recommender.store.buyers import AccountRow, IdentityRow

MODEL, KINDS = load_stage_model(), load_signal_kinds()
NOW = 1_750_000_000.0
NAMES = falling_names(MODEL) + resting_names(MODEL)
LEARNT = Calibration(
    NAMES, np.zeros(len(NAMES)), np.ones(len(NAMES)), np.full(len(NAMES), 0.2), -3.0, 0.03, 90.0, 240, 1.0,
    MODEL.version,
)  # fmt: skip
NOT_BUYING = ("competitor", "student", "agency")
PLAIN, CALIBRATED = StageEstimator(MODEL, KINDS), StageEstimator(MODEL, KINDS, lambda: LEARNT)

LOGGED = st.builds(
    lambda age, kind, of_type: LoggedSignal(NOW - age, kind, None, 1.0, of_type),
    st.floats(0, 4e7),
    st.sampled_from(KINDS.names),
    st.sampled_from(("whitepaper", "case_study", "blog", None)),
)
LOG = st.lists(LOGGED, max_size=12)
OUTCOMES = st.lists(
    st.builds(
        lambda age, kind: LoggedSignal(NOW - age, kind, None, 1.0, None),
        st.floats(0, 3e7),
        st.sampled_from(("opportunity_opened", "opportunity_lost", "opportunity_won")),
    ),
    max_size=2,
)


def state(log: list[LoggedSignal]) -> BuyerState:
    return fold_state(log, KINDS, NOW)


def member(buyer_id: int, log: list[LoggedSignal], role: str | None = None) -> Member:
    traits = {} if role is None else {"role": (role, 1.0)}
    return Member(
        buyer_id, state(log), [IdentityRow(buyer_id, "user", f"u{buyer_id}", traits, None, None, None)]
    )


def view(mine: list[LoggedSignal], others: list[Member], outcomes: list[LoggedSignal]) -> BuyerView:
    me = member(1, mine)
    account = AccountView(AccountRow(1, "acme", {}), [me, *others], outcomes)
    return BuyerView(1, me.state, me.identities, account)


@given(LOG, LOG, OUTCOMES, st.sampled_from((PLAIN, CALIBRATED)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_evidence_applied_alone_gives_what_is_shown_and_stages_sum_to_one(
    mine: list[LoggedSignal],
    others: list[LoggedSignal],
    outcomes: list[LoggedSignal],
    estimator: StageEstimator,
    alone: bool,
) -> None:
    one = view(mine, [member(2, others)], outcomes)
    if alone:
        one = dataclasses.replace(one, account=None)
    shown = estimator.shown(estimator.of_buyer(one, NOW), NOW, with_evidence=True)
    total = sum(e.effect for e in shown.evidence)
    intent = shown.distribution["consideration"] + shown.distribution["decision"]
    assert 1 / (1 + math.exp(-total)) == pytest.approx(intent, abs=2e-4)
    assert sum(shown.distribution.values()) == pytest.approx(1, abs=5e-4)
    assert shown.confidence == max(shown.distribution.values()) == shown.distribution[shown.name]
    assert all(e.text for e in shown.evidence)


@given(LOG, LOG, LOG, st.sampled_from((PLAIN, CALIBRATED)), st.sampled_from(NOT_BUYING))
@settings(max_examples=40, deadline=None)
def test_a_competitor_in_the_account_moves_nothing(
    mine: list[LoggedSignal],
    others: list[LoggedSignal],
    theirs: list[LoggedSignal],
    estimator: StageEstimator,
    role: str,
) -> None:
    spy = member(3, theirs, role)
    if spy.role != role:
        pytest.fail(f"the member's role is {spy.role!r}")
    without, beside = view(mine, [member(2, others)], []), view(mine, [member(2, others), spy], [])
    for one, other in ((estimator.of_buyer(without, NOW), estimator.of_buyer(beside, NOW)),):
        np.testing.assert_array_equal(one.raw, other.raw)
        assert estimator.shown(one, NOW, with_evidence=True) == estimator.shown(
            other, NOW, with_evidence=True
        )


@given(LOG, LOG, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_bots_signals_and_the_order_of_arrival_move_nothing(
    mine: list[LoggedSignal], bots: list[LoggedSignal], random: object
) -> None:
    flagged = [dataclasses.replace(one, weight=0.0) for one in bots]
    mixed = [*mine, *flagged]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    plain = CALIBRATED.of_buyer(view(mine, [], []), NOW)
    noisy = CALIBRATED.of_buyer(view(mixed, [], []), NOW)
    np.testing.assert_array_equal(plain.raw, noisy.raw)
    assert CALIBRATED.shown(plain, NOW, with_evidence=True) == CALIBRATED.shown(
        noisy, NOW, with_evidence=True
    )


def test_an_open_opportunity_is_not_judged_by_chances_of_one() -> None:
    """What the sales system said last outranks what was learnt from before it."""
    log = [LoggedSignal(NOW - 1e6, "opportunity_opened", None, 1.0, None)]
    estimate = CALIBRATED.of_buyer(view([], [], log), NOW)
    assert CALIBRATED.opportunity_chance(estimate) is None
    assert CALIBRATED.shown(estimate, NOW, with_evidence=False) == PLAIN.shown(
        estimate, NOW, with_evidence=False
    )


@given(
    st.lists(st.tuples(LOG, LOG, OUTCOMES, st.booleans()), max_size=4), st.sampled_from((PLAIN, CALIBRATED))
)
@settings(max_examples=40, deadline=None)
def test_many_at_once_are_shown_at_the_stages_that_each_alone_is(
    people: list[tuple[list[LoggedSignal], list[LoggedSignal], list[LoggedSignal], bool]],
    estimator: StageEstimator,
) -> None:
    views, accounts = [], {}
    for number, (mine, others, outcomes, alone) in enumerate(people):
        one = view(mine, [member(2, others)], outcomes)
        if one.account is not None and not alone:
            account = dataclasses.replace(one.account, row=AccountRow(number, f"acme-{number}", {}))
            one, accounts[number] = dataclasses.replace(one, account=account), account
        else:
            one = dataclasses.replace(one, account=None)
        views.append(one)
    of_buyers, of_accounts = shown_stages(estimator, views, accounts, NOW)
    buyers = [estimator.of_buyer(one, NOW) for one in views]
    groups = [estimator.of_account(account, NOW) for account in accounts.values()]
    assert of_buyers == [estimator.shown(one, NOW, with_evidence=False).name for one in buyers]
    assert of_accounts == [estimator.shown(one, NOW, with_evidence=False).name for one in groups]
