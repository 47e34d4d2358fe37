"""The signal log over HTTP on a real PostgreSQL: once each, by whom, when, and seen by the next answer."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from recommender.store import signals as signal_store
from recommender_rig import NOON, Rig, RigMaker, SettableClock, code

Event = dict[str, Any]


def track(
    message_id: str, asset_id: str | None = None, *, event: str = "Content Viewed", **more: Any
) -> Event:
    properties = {} if asset_id is None else {"asset_id": asset_id}
    return {"type": "track", "event": event, "messageId": message_id, "properties": properties, **more}


def logged(rig: Rig) -> int:
    return int(rig.rows("SELECT count(*) FROM recommender.signals")[0][0])


def ids_of(rig: Rig, buyer_id: str) -> set[tuple[str, str]]:
    return {(one["kind"], one["id"]) for one in rig.buyer(buyer_id)["ids"]}


def test_a_full_disk_is_told_as_a_database_that_is_away_and_what_was_refused_can_be_sent_again(
    recommender: Rig,
) -> None:
    with recommender.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION recommender.full() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER full_disk BEFORE INSERT ON recommender.signals "
            "FOR EACH ROW EXECUTE FUNCTION recommender.full()"
        )
    try:
        assert code(recommender.send(track("m-1") | {"userId": "u"})) == (503, "database_away")
        assert logged(recommender) == 0
    finally:
        with recommender.engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER full_disk ON recommender.signals")
            connection.exec_driver_sql("DROP FUNCTION recommender.full")
    assert recommender.send(track("m-1") | {"userId": "u"}).status_code == 200
    assert logged(recommender) == 1


def test_every_kind_of_call(recommender: Rig) -> None:
    recommender.put("a")
    calls: dict[str, Event] = {
        "track": {"event": "Asset Downloaded", "properties": {"asset_id": "a"}},
        "page": {"properties": {"url": "https://firm.example/pricing"}},
        "screen": {"name": "Pricing"},
        "identify": {"traits": {"title": "CFO", "industry": "Food"}},
        "group": {"groupId": "acme", "traits": {"name": "Acme"}},
        "alias": {"previousId": "before"},
    }
    for call, more in calls.items():
        answer = recommender.send({"userId": "u", "messageId": call, **more}, call=call)
        assert answer.json == {"accepted": 1, "duplicates": 0, "dead_letters": 0}, call
    buyer = recommender.buyer("u")
    assert buyer["signal_count"] == 6
    assert buyer["account_id"] == "acme"
    assert buyer["traits"] == {"title": "CFO", "industry": "Food"}
    assert {s["type"] for s in buyer["recent_signals"]} == {
        "download",
        "pricing",
        "page",
        "identify",
        "group",
        "alias",
    }
    account = recommender.client.get("/v1/accounts/acme").json
    assert account is not None
    assert account["traits"] == {"name": "Acme"}
    assert [m["role"] for m in account["buying_group"]] == ["finance"]


def test_a_message_counts_once(recommender: Rig) -> None:
    first = recommender.send(track("m", userId="u"), track("m", userId="u"), track("n", userId="u"))
    assert first.json == {"accepted": 2, "duplicates": 1, "dead_letters": 0}
    again = recommender.send(track("m", userId="u", timestamp="2026-05-01T00:00:00Z"), track("o", userId="u"))
    assert again.json == {"accepted": 1, "duplicates": 1, "dead_letters": 0}
    assert recommender.buyer("u")["signal_count"] == logged(recommender) == 3


def test_a_message_from_eight_threads_and_two_replicas_counts_once(make_recommender: RigMaker) -> None:
    rigs = [make_recommender(), make_recommender()]
    events = [track(f"m{n}", userId=f"u{n % 5}", anonymousId=f"a{n % 7}") for n in range(40)]
    barrier = threading.Barrier(8)

    def send(worker: int) -> int:
        barrier.wait(20)
        mine = events.copy()
        random.Random(worker).shuffle(mine)
        answer = rigs[worker % 2].send(*mine)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return int(answer.json["accepted"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 40
    assert logged(rigs[0]) == 40
    assert sum(rigs[1].buyer(f"u{n}")["signal_count"] for n in range(5)) == 40


def test_messages_without_an_id_are_known_by_their_content(recommender: Rig) -> None:
    dated = {"type": "page", "userId": "u", "timestamp": "2026-05-01T00:00:00Z"}
    for sent_at in ("2026-05-01T00:00:01Z", "2026-05-01T00:00:09Z"):
        recommender.send({**dated, "sentAt": sent_at})
    assert logged(recommender) == 1
    recommender.send({**dated, "properties": {"path": "/other"}})
    assert logged(recommender) == 2


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, NOON),
        ({"timestamp": "2026-05-30T10:00:00Z"}, NOON - timedelta(days=2, hours=2)),
        ({"timestamp": "2026-05-30T10:00:00"}, NOON - timedelta(days=2, hours=2)),
        # The client's clock is an hour ahead, the event happened 10 minutes before it was sent.
        (
            {"originalTimestamp": "2026-06-01T12:50:00Z", "sentAt": "2026-06-01T13:00:00Z"},
            NOON - timedelta(minutes=10),
        ),
        ({"timestamp": 1_780_000_000_000}, NOON.fromtimestamp(1_780_000_000, NOON.tzinfo)),
        ({"timestamp": 1_780_000_000}, NOON.fromtimestamp(1_780_000_000, NOON.tzinfo)),
        ({"timestamp": "2031-01-01T00:00:00Z"}, NOON),
        ({"timestamp": "2026-06-01T12:00:30Z"}, NOON + timedelta(seconds=30)),
        ({"timestamp": "1999-12-31T23:59:59Z"}, NOON.replace(1999, 12, 31, 23, 59, 59)),
    ],
)
def test_when_it_happened_by_our_clock(recommender: Rig, times: Event, expected: Any) -> None:
    assert recommender.send(track("m", userId="u", **times)).json["accepted"] == 1  # type: ignore[index]
    assert recommender.rows("SELECT at FROM recommender.signals") == [(expected,)]


def test_sent_at_of_the_batch_and_the_time_of_receipt_at_the_edge(recommender: Rig) -> None:
    body = {
        "batch": [track("m", userId="u", timestamp="2026-06-01T00:00:00Z")],
        "sentAt": "2026-06-01T01:00:00Z",
    }
    headers = {"X-Received-At": "2026-06-01T11:00:00Z"}
    assert recommender.client.post("/v1/signals", json=body, headers=headers).status_code == 200
    assert recommender.rows("SELECT at, received_at FROM recommender.signals") == [
        (NOON - timedelta(hours=2), NOON - timedelta(hours=1))
    ]
    wrong = recommender.client.post("/v1/signals", json=body, headers={"X-Received-At": "today"})
    assert code(wrong) == (400, "header_invalid")


def test_an_anonymous_buyer_who_identifies_is_one_buyer(recommender: Rig) -> None:
    recommender.put("a")
    recommender.send(track("1", "a", anonymousId="anon"))
    assert ids_of(recommender, "anon") == {("anonymous", "anon")}
    recommender.send({"type": "identify", "messageId": "2", "userId": "u", "anonymousId": "anon"})
    recommender.send(track("3", "a", anonymousId="anon"))
    assert ids_of(recommender, "u") == ids_of(recommender, "anon") == {("user", "u"), ("anonymous", "anon")}
    assert recommender.buyer("u")["signal_count"] == 3
    assert recommender.rows("SELECT count(*) FROM recommender.buyers") == [(1,)]


def test_chains_of_aliases_lead_to_one_buyer(recommender: Rig) -> None:
    for n in (2, 0, 3, 1):  # not in the order of the chain
        recommender.send(
            {"type": "alias", "messageId": f"{n}", "previousId": f"id{n}", "userId": f"id{n + 1}"}
        )
    recommender.send(track("t", anonymousId="id0"))
    expected = {("user", f"id{n}") for n in range(5)} | {("anonymous", f"id{n}") for n in range(4)}
    assert ids_of(recommender, "id4") == ids_of(recommender, "id0") == expected
    assert recommender.buyer("id2")["signal_count"] == 5


def test_a_shared_device_stays_with_whoever_used_it_first(recommender: Rig) -> None:
    late = {"userId": "late", "anonymousId": "device", "timestamp": "2026-05-02T00:00:00Z"}
    first = {"userId": "first", "anonymousId": "device", "timestamp": "2026-05-01T00:00:00Z"}
    recommender.send({"type": "identify", "messageId": "1", **late}, track("2", **late))
    assert ("anonymous", "device") in ids_of(recommender, "late")
    recommender.send({"type": "identify", "messageId": "3", **first})
    recommender.send(track("4", anonymousId="device"))
    assert ids_of(recommender, "late") == {("user", "late")}
    assert ids_of(recommender, "first") == {("user", "first"), ("anonymous", "device")}
    assert recommender.buyer("late")["signal_count"] == 2
    assert recommender.buyer("first")["signal_count"] == 2


def test_the_latest_traits_win_whatever_arrives_last(recommender: Rig) -> None:
    for message, day, traits in (
        ("1", 3, {"title": "CFO", "seat": 1}),
        ("2", 1, {"title": "Intern", "city": "Ulm"}),
    ):
        at = f"2026-05-0{day}T00:00:00Z"
        recommender.send(
            {"type": "identify", "userId": "u", "messageId": message, "timestamp": at, "traits": traits}
        )
    assert recommender.buyer("u")["traits"] == {"title": "CFO", "seat": 1, "city": "Ulm"}


def test_the_latest_traits_of_an_account_win_whatever_arrives_last(recommender: Rig) -> None:
    def group(message: str, day: int, traits: Event) -> Event:
        at = f"2026-05-0{day}T00:00:00Z"
        call = {"type": "group", "groupId": "acme", "userId": "u", "messageId": message}
        return {**call, "timestamp": at, "traits": traits}

    # In one batch with an event that names the account and says nothing of it.
    plain = track("x", userId="u", context={"groupId": "acme"})
    recommender.send(group("1", 3, {"industry": "Food", "size": 5}), plain)
    recommender.send(group("2", 1, {"industry": "Toys", "city": "Ulm"}))
    account = recommender.client.get("/v1/accounts/acme").json
    assert account is not None
    assert account["traits"] == {"industry": "Food", "size": 5, "city": "Ulm"}


def test_the_latest_group_decides_the_account(recommender: Rig) -> None:
    for message, day, group in (("1", 2, "acme"), ("2", 3, "zenith"), ("3", 1, "old")):
        at = f"2026-05-0{day}T00:00:00Z"
        call = {"type": "group", "userId": "u", "groupId": group, "messageId": message, "timestamp": at}
        recommender.send(call)
    assert recommender.buyer("u")["account_id"] == "zenith"
    recommender.send(track("4", userId="u", context={"groupId": "newest"}))
    assert recommender.buyer("u")["account_id"] == "newest"
    assert code(recommender.client.get("/v1/accounts/nobody")) == (404, "account_not_found")


def tier(rig: Rig, **request: Any) -> str:
    return str(rig.recommend(**request)["meta"]["tier"])


def test_consent_and_privacy_signals_stop_profiling(recommender: Rig, clock: SettableClock) -> None:
    for n in range(3):
        recommender.put(f"a{n}", topics=["GDP"])
    for user in ("consenting", "refusing", "gpc"):
        recommender.send(*(track(f"{user}{n}", f"a{n}", userId=user) for n in range(2)))
        assert tier(recommender, user_id=user) == "personal"
    clock.advance(seconds=1)

    def consent(message: str, user: str, **categories: bool) -> Event:
        said = {"consent": {"categoryPreferences": categories}}
        return {"type": "page", "userId": user, "messageId": message, "context": said}

    recommender.send(consent("c1", "consenting", Advertising=False, Functional=True))
    recommender.send(consent("c2", "refusing", Advertising=False, Functional=False))
    recommender.send(track("g", userId="gpc"), Sec_GPC="1")
    assert tier(recommender, user_id="consenting") == "personal"
    assert tier(recommender, user_id="refusing") != "personal"
    assert tier(recommender, user_id="gpc") != "personal"
    clock.advance(seconds=1)
    recommender.send(consent("c3", "refusing", Functional=True))
    assert tier(recommender, user_id="refusing") == "personal"
    recommender.send(track("g2", userId="gpc"))
    assert tier(recommender, user_id="gpc") != "personal"


def nested(levels: int) -> str:
    """An event as text: Python's own encoder does not go so deep."""
    deep = '{"a":' * levels + "1" + "}" * levels
    return f'{{"type":"page","userId":"u","messageId":"deep{levels}","properties":{deep}}}'


DEAD: list[tuple[Any, str]] = [
    (5, "not_an_object"),
    (None, "not_an_object"),
    ({"type": "track", "event": "x", "userId": "u", "blob": "x" * 33_000}, "event_too_large"),
    ({"type": "track", "event": "x\x00", "userId": "u"}, "nul_character"),
    ({"type": "purchase", "userId": "u"}, "type_unknown"),
    ({"userId": "u"}, "type_unknown"),
    ({"type": "page"}, "no_identity"),
    ({"type": "page", "userId": "", "anonymousId": None}, "no_identity"),
    ({"type": "page", "userId": ["u"]}, "id_invalid"),
    ({"type": "page", "userId": True}, "id_invalid"),
    ({"type": "page", "userId": "x" * 201}, "id_invalid"),
    ({"type": "page", "userId": "a\tb"}, "id_invalid"),
    ({"type": "page", "userId": ".."}, "id_invalid"),
    ({"type": "track", "userId": "u"}, "event_missing"),
    ({"type": "track", "userId": "u", "event": "  "}, "event_missing"),
    ({"type": "track", "userId": "u", "event": 5}, "event_missing"),
    ({"type": "track", "userId": "u", "event": "x", "properties": {"asset_id": {}}}, "asset_id_invalid"),
    ({"type": "track", "userId": "u", "event": "x", "properties": {"asset_id": ""}}, "asset_id_invalid"),
    ({"type": "page", "userId": "u", "timestamp": "soon"}, "timestamp_invalid"),
    ({"type": "page", "userId": "u", "timestamp": True}, "timestamp_invalid"),
    ({"type": "page", "userId": "u", "timestamp": 1e300}, "timestamp_invalid"),
    ({"type": "page", "userId": "u", "timestamp": "1994-12-31T00:00:00Z"}, "timestamp_invalid"),
    ({"type": "page", "userId": "u", "timestamp": "0001-01-01T00:00:00+10:00"}, "timestamp_invalid"),
    (
        {
            "type": "page",
            "userId": "u",
            "timestamp": "9999-12-31T00:00:00Z",
            "sentAt": "0001-01-01T00:00:00Z",
        },
        "timestamp_invalid",
    ),
    (nested(300), "nested_too_deeply"),
    (nested(990), "nested_too_deeply"),
]


def test_what_makes_no_sense_is_kept_once_with_its_reason_and_spoils_nothing(recommender: Rig) -> None:
    good = [track(f"g{n}", userId="u") for n in range(len(DEAD))]
    mixed = [event for pair in zip(good, (event for event, _ in DEAD), strict=True) for event in pair]
    for expected in ({"accepted": len(DEAD), "duplicates": 0}, {"accepted": 0, "duplicates": len(DEAD)}):
        texts = [event if isinstance(event, str) else json.dumps(event) for event in mixed]
        body = '{"batch":[' + ",".join(texts) + "]}"
        answer = recommender.client.post("/v1/signals", data=body)
        assert answer.status_code == 200, answer.text
        assert answer.json == {**expected, "dead_letters": len(DEAD)}
    kept = recommender.rows("SELECT code FROM recommender.dead_letters ORDER BY dead_letter_id")
    assert [row[0] for row in kept] == [reason for _, reason in DEAD]
    assert logged(recommender) == len(DEAD)


def test_bodies_that_are_no_batch(recommender: Rig) -> None:
    post = recommender.client.post
    assert code(post("/v1/signals", data=b"")) == (400, "body_empty")
    assert code(post("/v1/signals", data=b"{")) == (400, "json_malformed")
    assert code(post("/v1/signals", json={"batch": {}})) == (400, "batch_missing")
    assert code(post("/v1/signals?kind=order", json={})) == (400, "kind_unknown")
    assert post("/v1/signals", json={"batch": []}).json == {"accepted": 0, "duplicates": 0, "dead_letters": 0}


def test_an_event_that_speaks_of_a_zero_byte_without_holding_one_is_kept(recommender: Rig) -> None:
    answer = recommender.send({"type": "page", "userId": "u", "messageId": "1", "name": "C:\\u0000"})
    assert answer.json == {"accepted": 1, "duplicates": 0, "dead_letters": 0}


def test_events_about_unknown_assets_are_kept(recommender: Rig) -> None:
    recommender.send(track("1", "not-yet", userId="u"))
    assert recommender.buyer("u")["signal_count"] == 1
    recommender.put("not-yet", topics=["GDP"])
    assert recommender.buyer("u")["topics"] == [{"topic": "GDP", "share": 1.0}]


@pytest.mark.parametrize(
    "url",
    [
        "https://www.firm.example/guide",
        "https://firm.example/guide/",
        "http://FIRM.example/guide?utm_source=mail&utm_campaign=x#top",
        "https://firm.example:443/guide",
    ],
)
def test_an_asset_is_found_by_its_url(recommender: Rig, url: str) -> None:
    recommender.put("guide", url="https://firm.example/guide", type="whitepaper")
    recommender.send({"type": "page", "userId": "u", "messageId": "1", "properties": {"url": url}})
    recommender.send({"type": "page", "userId": "u", "messageId": "2", "context": {"page": {"url": url}}})
    seen = recommender.buyer("u")["recent_signals"]
    assert [(s["asset_id"], s["type"]) for s in seen] == [("guide", "view")] * 2


def test_machines_weigh_nothing(recommender: Rig) -> None:
    recommender.put("a", topics=["GDP"])
    bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    recommender.send(track("1", "a", userId="u", context={"userAgent": bot}))
    recommender.send(track("2", "a", userId="u"), X_Buyer_Agent=bot)
    found = recommender.buyer("u")
    assert (found["topics"], found["last_seen_at"]) == ([], None)
    assert recommender.rows("SELECT weight FROM recommender.signals") == [(0.0,), (0.0,)]


def test_partitions_over_years(recommender: Rig) -> None:
    days = ["1996-02-29", "2019-12-31", "2024-02-29", "2025-12-31", "2026-01-01"]
    events = [track(day, userId="u", timestamp=f"{day}T23:59:59.999999Z") for day in days]
    assert recommender.send(*events).json["accepted"] == 5  # type: ignore[index]
    months = recommender.rows("SELECT tableoid::regclass::text, at FROM recommender.signals ORDER BY at")
    assert [row[0].split(".")[-1] for row in months] == [f"signals_y{d[:4]}m{d[5:7]}" for d in days]
    assert recommender.buyer("u")["first_seen_at"].startswith("1996-02-29")


def test_the_next_answer_reflects_what_was_acknowledged(make_recommender: RigMaker) -> None:
    one, other = make_recommender(), make_recommender()
    for n in range(6):
        one.put(f"a{n}", title="Cold chain sensors" if n < 3 else "Payroll for schools")
    for n in range(3):
        assert one.send(track(f"m{n}", f"a{n}", userId="u")).status_code == 200
        for rig in (one, other):
            answer = rig.recommend(user_id="u")
            assert answer["meta"]["tier"] == "personal"
            assert rig.buyer("u")["signal_count"] == n + 1
    assert not {"a0", "a1", "a2"} & {i["id"] for i in other.recommend(user_id="u", count=3)["items"]}


def test_a_transaction_that_dies_acknowledges_nothing(
    recommender: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = signal_store._append

    def die_after(connection: Any, *arguments: Any) -> None:
        append(connection, *arguments)
        with recommender.engine.connect() as other:
            pid = connection.connection.dbapi_connection.info.backend_pid
            other.exec_driver_sql("SELECT pg_terminate_backend(%s)", (pid,))

    monkeypatch.setattr(signal_store, "_append", die_after)
    answer = recommender.send(track("m", userId="u"))
    assert code(answer) == (503, "database_away")
    assert answer.headers["Retry-After"].isdigit()
    monkeypatch.undo()
    assert logged(recommender) == 0
    again = recommender.send(track("m", userId="u"))
    assert again.json == {"accepted": 1, "duplicates": 0, "dead_letters": 0}


def test_people_who_merge_from_many_threads_end_up_as_one(make_recommender: RigMaker) -> None:
    rigs = [make_recommender(), make_recommender()]
    chance = random.Random(7)
    events: list[Event] = []
    for n in range(60):
        one, two = chance.sample(range(12), 2)
        events.append({"type": "alias", "messageId": f"a{n}", "previousId": f"u{one}", "userId": f"u{two}"})
        device = {"anonymousId": f"d{chance.randrange(15)}", "userId": f"u{chance.randrange(12)}"}
        at = f"2026-05-{chance.randrange(1, 28):02d}T00:00:00Z"
        events.append({"type": "identify", "messageId": f"i{n}", "timestamp": at, **device})

    def send(worker: int) -> None:
        for start in range(worker * 3, len(events), 24):
            answer = rigs[worker % 2].send(*events[start : start + 3])
            assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    assert logged(rigs[0]) == 120
    assert ids_of(rigs[0], "u0") == ids_of(rigs[0], "d0")
    wrong = rigs[0].rows(
        "SELECT i.external_id FROM recommender.identities i JOIN recommender.identities u "
        "ON u.identity_id = i.linked_to WHERE u.buyer_id <> i.buyer_id"
    )
    assert wrong == []
    assert rigs[0].rows("SELECT count(DISTINCT buyer_id) FROM recommender.identities") == rigs[0].rows(
        "SELECT count(*) FROM recommender.buyers"
    )
