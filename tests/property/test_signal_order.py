"""Any order of arrival, any split into batches and any duplication of signals gives the same buyers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.numeric.fold_state import fold_state
from recommender.store import buyers as store
from recommender_rig import NOON, Rig, truncate

Event = dict[str, Any]
NAMES = ["ann", "bob", "cy", "dot"]
DEVICES = ["d1", "d2", "d3"]
ASSETS = ["whitepaper", "prices", "unknown"]


def moments() -> st.SearchStrategy[str]:
    # Few distinct ones: ties are what goes wrong.
    return st.sampled_from(range(6)).map(lambda n: (NOON - timedelta(hours=9 * n)).isoformat())


def people() -> st.SearchStrategy[Event]:
    return st.one_of(
        st.fixed_dictionaries({"userId": st.sampled_from(NAMES)}),
        st.fixed_dictionaries({"anonymousId": st.sampled_from(DEVICES)}),
        st.fixed_dictionaries(
            {"userId": st.sampled_from(NAMES), "anonymousId": st.sampled_from(DEVICES)},
        ),
    )


def contexts() -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries(
        {},
        optional={
            "groupId": st.sampled_from(["acme", "zenith"]),
            "consent": st.fixed_dictionaries(
                {"categoryPreferences": st.fixed_dictionaries({"ads": st.booleans(), "all": st.booleans()})}
            ),
        },
    )


def traits() -> st.SearchStrategy[Event]:
    return st.dictionaries(st.sampled_from(["title", "industry"]), st.sampled_from(["CFO", "CTO", 1]))


def calls() -> st.SearchStrategy[Event]:
    names = ["Content Viewed", "Asset Downloaded", "Recommendation Viewed", "Opportunity Won"]
    kinds = st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("track"),
                "event": st.sampled_from(names),
                "properties": st.fixed_dictionaries({}, optional={"asset_id": st.sampled_from(ASSETS)}),
                "context": contexts(),
            }
        ),
        st.fixed_dictionaries({"type": st.just("identify"), "traits": traits()}),
        st.fixed_dictionaries(
            {"type": st.just("group"), "groupId": st.sampled_from(["acme", "zenith"]), "traits": traits()}
        ),
        st.fixed_dictionaries({"type": st.just("alias"), "previousId": st.sampled_from(NAMES + DEVICES)}),
    )
    return st.tuples(kinds, people(), moments()).map(lambda p: {**p[0], **p[1], "timestamp": p[2]})


@pytest.fixture
def rig(make_recommender: Any) -> Rig:
    made: Rig = make_recommender()
    return made


def picture(rig: Rig) -> dict[frozenset[tuple[str, str]], tuple[Any, ...]]:
    """Every buyer by the ids that lead there: state, account, traits, whether profiling is allowed."""
    folder = rig.parts["folder"]
    found = {}
    with rig.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        ids = [row[0] for row in connection.exec_driver_sql("SELECT buyer_id FROM recommender.buyers")]
        identities = store.buyer_identities(connection, ids)
        for row in store.buyer_rows(connection, ids, folder.fingerprint):
            names = frozenset((i.kind, i.external_id) for i in identities[row.buyer_id])
            account = None if row.account_id is None else store.account_by_id(connection, row.account_id)
            log = store.logged_signals(connection, [row.buyer_id])[row.buyer_id]
            replayed = fold_state(log, folder._kinds, NOON.timestamp()).to_bytes()
            assert folder.state_of(connection, row).to_bytes() == replayed
            found[names] = (
                replayed,
                None if account is None else (account.external_id, account.traits),
                sorted((i.kind, i.external_id, sorted(i.traits.items())) for i in identities[row.buyer_id]),
                sorted((i.external_id, str(i.consent), str(i.consent_at)) for i in identities[row.buyer_id]),
            )
    return found


def deliver(rig: Rig, events: Sequence[Event], cuts: Sequence[int], *, read_between: bool) -> None:
    bounds = [0, *sorted(cuts), len(events)]
    for start, end in itertools.pairwise(bounds):
        if start < end:
            answer = rig.send(*events[start:end])
            assert answer.status_code == 200, answer.text
            if read_between:  # folds a state on the way, which later events must make stale
                rig.recommend(user_id="ann")
                rig.parts["folder"].fold_stale()


def fresh(rig: Rig) -> None:
    truncate(rig.engine)
    with rig.engine.begin() as connection:
        for asset_id, kind in (("whitepaper", "whitepaper"), ("prices", "pricing")):
            connection.execute(
                sa.text(
                    "INSERT INTO recommender.assets (asset_id, revision, change, record_hash, text_hash, "
                    "title, url, url_key, type, status, created_at, updated_at) VALUES "
                    "(:id, :n, :n, '', '', :id, :id, :id, :type, 'approved', now(), now())"
                ),
                {"id": asset_id, "type": kind, "n": ASSETS.index(asset_id)},
            )


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    events=st.lists(calls(), min_size=1, max_size=14),
    cuts=st.lists(st.integers(0, 20), max_size=6),
    seed=st.integers(0, 1_000_000),
    read_between=st.booleans(),
)
def test_order_batches_and_duplicates_make_no_difference(
    rig: Rig, events: list[Event], cuts: list[int], seed: int, read_between: bool
) -> None:
    numbered = [{**event, "messageId": f"m{n}"} for n, event in enumerate(events)]
    fresh(rig)
    deliver(rig, numbered, [], read_between=False)
    expected = picture(rig)
    chance = random.Random(seed)
    shuffled = numbered + chance.choices(numbered, k=len(numbered) // 2)
    chance.shuffle(shuffled)
    fresh(rig)
    deliver(rig, shuffled, [min(cut, len(shuffled)) for cut in cuts], read_between=read_between)
    assert picture(rig) == expected
