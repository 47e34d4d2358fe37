"""What is done for many at once is what would be done one by one: message ids, and reading buyers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from recommender.domain.identities import Identity
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.service.buyer_view import BuyerReader, BuyerView
from recommender.store import signals as signal_store
from recommender.store.driver import ask_all
from recommender_rig import Rig, RigMaker
from servicekit.database import create_engine, reading


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Asset Downloaded",
        "messageId": f"block-{number}",
        "userId": f"u-{number % 7}",
        "properties": {"asset_id": "a"},
        **fields,
    }


def sent(rig: Rig, numbers: range) -> dict[str, int]:
    answer = rig.client.post("/v1/signals", json={"batch": [event(number) for number in numbers]})
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def logged(rig: Rig) -> int:
    with rig.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM recommender.signals").scalar_one())


@pytest.fixture
def fifty_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_store, "_MANY", 50)


@pytest.mark.usefixtures("fifty_are_many")
def test_a_large_batch_counts_each_message_once(recommender: Rig) -> None:
    assert sent(recommender, range(120))["accepted"] == 120
    assert sent(recommender, range(120)) == {"accepted": 0, "duplicates": 120, "dead_letters": 0}
    assert sent(recommender, range(60, 200)) == {"accepted": 80, "duplicates": 60, "dead_letters": 0}
    twice = [event(number) for number in (*range(200, 300), *range(250, 300))]
    answer = recommender.client.post("/v1/signals", json={"batch": twice}).json
    assert answer == {"accepted": 100, "duplicates": 50, "dead_letters": 0}
    assert logged(recommender) == 300


@pytest.mark.usefixtures("fifty_are_many")
def test_the_same_large_batch_from_many_threads_counts_once(make_recommender: RigMaker) -> None:
    rigs = [make_recommender(), make_recommender()]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda turn: sent(rigs[turn % 2], range(turn * 10, 100 + turn * 10)), range(6)))
    assert sum(one["accepted"] for one in found) == 150 == logged(rigs[0])


def plain(view: BuyerView) -> Any:
    account = view.account
    return (
        view.buyer_id,
        view.state.to_bytes(),
        list(view.identities),
        None
        if account is None
        else (
            account.row,
            [(one.buyer_id, one.state.to_bytes(), list(one.identities)) for one in account.members],
            list(account.outcomes),
        ),
    )


def test_a_block_of_buyers_is_read_as_each_of_them_is(recommender: Rig) -> None:
    batch: list[dict[str, Any]] = [event(number) for number in range(60)]
    for user, firm in ((0, "acme.example"), (1, "acme.example"), (2, "other.example")):
        batch.append({"type": "group", "userId": f"u-{user}", "groupId": firm, "messageId": f"g-{user}"})
    batch.append({"type": "identify", "userId": "u-3", "anonymousId": "n-3", "traits": {"title": "CFO"}})
    batch.append(event(900, event="Opportunity Opened", userId="u-2", context={"groupId": "other.example"}))
    assert recommender.client.post("/v1/signals", json={"batch": batch}).status_code == 200
    folder = recommender.parts["folder"]
    while folder.fold_stale():
        pass
    reader = BuyerReader(folder, load_signal_kinds())
    asked: list[tuple[Identity | None, str | None]] = [
        *((Identity("user", f"u-{user}"), None) for user in (0, 1, 2, 3, 4, 0)),
        (Identity("anonymous", "n-3"), "acme.example"),
        (Identity("user", "u-2"), "acme.example"),
        (Identity("user", "nobody"), "other.example"),
        (Identity("user", "nobody"), None),
        (None, "acme.example"),
        (None, "no such firm"),
        (None, None),
    ]
    with recommender.engine.connect() as connection:
        answers = ask_all(connection, reader.questions(asked))
        block = [plain(view) for view in reader.views(connection, asked, answers)]
        each = [plain(reader.read(connection, *one)) for one in asked]
    assert block == each
    assert [view[3] is not None for view in block[:4]] == [True, True, True, False]
    assert len(block[0][3][1]) == 2
    assert [outcome.kind for outcome in block[2][3][2]] == ["opportunity_opened"]


def test_what_is_asked_of_buyers_is_planned_once_for_a_connection(
    recommender: Rig, recommender_database: str
) -> None:
    """Planning costs several times what answering does, so each request would pay for it in vain."""
    reader = BuyerReader(recommender.parts["folder"], load_signal_kinds())
    engine = create_engine(recommender_database, pool_size=1, application_name="tests")
    for number in range(10):
        with reading(engine) as connection:
            ask_all(connection, reader.questions([(Identity("user", f"u-{number}"), None)]))
    with reading(engine) as connection:
        plans = connection.exec_driver_sql(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements "
            "WHERE position('recommender.' in statement) > 0"
        ).all()
    engine.dispose()
    assert len(plans) == 5, "prepared, and not forgotten between two requests"
    assert all(generic > 0 and custom == 0 for generic, custom in plans)
