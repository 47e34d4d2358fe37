"""Folding against replay, and a buyer's rights: everything handed out, everything taken away."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from recommender.domain.buyer_state import BuyerState
from recommender.numeric.fold_state import fold_state
from recommender.store import buyers as store
from recommender_rig import Rig, RigMaker, SettableClock, code

Event = dict[str, Any]


def view(message_id: str, user: str, asset_id: str = "a", **more: Any) -> Event:
    call = {"type": "track", "event": "Content Viewed", "userId": user, "messageId": message_id}
    return {**call, "properties": {"asset_id": asset_id}, **more}


def stored(rig: Rig) -> dict[int, tuple[int, bytes]]:
    rows = rig.rows("SELECT buyer_id, version, state FROM recommender.profiles")
    return {buyer: (version, bytes(state)) for buyer, version, state in rows}


def replayed(rig: Rig) -> dict[int, tuple[int, bytes]]:
    with rig.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT buyer_id, version FROM recommender.buyers").all()
        versions = {int(row[0]): int(row[1]) for row in rows}
        logs = store.logged_signals(connection, list(versions))
    kinds = rig.parts["folder"]._kinds
    now = rig.clock.now.timestamp()
    return {b: (versions[b], fold_state(log, kinds, now).to_bytes()) for b, log in logs.items()}


def fold_all(rig: Rig) -> int:
    folded = 0
    while some := rig.parts["folder"].fold_stale():
        folded += some
    return folded


def test_stored_states_equal_replay(recommender: Rig) -> None:
    recommender.put("a", type="whitepaper")
    recommender.send(*(view(f"m{n}", f"u{n % 7}") for n in range(250)))
    assert fold_all(recommender) == 7
    assert stored(recommender) == replayed(recommender)
    assert fold_all(recommender) == 0
    recommender.send(view("late", "u3", timestamp="2025-01-01T00:00:00Z"))
    assert fold_all(recommender) == 1
    assert stored(recommender) == replayed(recommender)


def test_states_made_by_other_rules_are_folded_anew(make_recommender: RigMaker, tmp_path: Path) -> None:
    from importlib.resources import files

    first = make_recommender()
    first.put("a", topics=["GDP"])
    for user in ("reader", "colleague"):
        group = {"type": "group", "groupId": "acme", "userId": user, "messageId": f"g-{user}"}
        first.send(group, view(f"v-{user}", user))
    fold_all(first)
    packaged = files("recommender").joinpath("signals.toml").read_text()
    changed = tmp_path / "signals.toml"
    changed.write_text(packaged.replace("view = { engagement = 1.0", "view = { engagement = 7.0"))
    second = make_recommender(signals_file=changed)
    assert second.parts["folder"].fingerprint != first.parts["folder"].fingerprint
    assert fold_all(second) == 2
    assert stored(second) == replayed(second)
    assert {BuyerState.from_bytes(state).profile.weights[0] for _, state in stored(second).values()} == {7.0}
    account = second.client.get("/v1/accounts/acme").json
    assert account is not None
    assert account["topics"] == [{"topic": "GDP", "share": 1.0}]


def test_a_fold_never_claims_signals_it_has_not_read(
    make_recommender: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, other = make_recommender(), make_recommender()
    rig.send(view("1", "u"))
    read = store.logged_signals

    def and_then_more_arrive(*arguments: Any) -> Any:
        logs = read(*arguments)
        monkeypatch.undo()
        assert other.send(view("2", "u")).status_code == 200
        return logs

    monkeypatch.setattr(store, "logged_signals", and_then_more_arrive)
    rig.parts["folder"].fold_stale()
    [(version, state)] = stored(rig).values()
    assert (version, BuyerState.from_bytes(state).signal_count) == (1, 1)
    assert rig.buyer("u")["signal_count"] == 2
    fold_all(rig)
    assert stored(rig) == replayed(rig)


def test_folding_and_recording_at_once(make_recommender: RigMaker) -> None:
    rigs = [make_recommender(), make_recommender()]
    stop = threading.Event()

    def fold() -> None:
        while not stop.is_set():
            rigs[0].parts["folder"].fold_stale()

    folder = threading.Thread(target=fold, daemon=True)
    folder.start()

    def send(worker: int) -> None:
        for n in range(15):
            assert rigs[worker % 2].send(view(f"{worker}-{n}", f"u{n % 3}")).status_code == 200
            assert rigs[1].recommend(user_id=f"u{n % 3}")["meta"]["degraded"] is False

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    stop.set()
    folder.join(10)
    fold_all(rigs[0])
    assert stored(rigs[0]) == replayed(rigs[0])
    assert sum(BuyerState.from_bytes(s).signal_count for _, s in stored(rigs[0]).values()) == 60


def test_a_buyer_with_very_many_signals_is_bounded(recommender: Rig) -> None:
    recommender.put("a")
    recommender.send(view("first", "machine", timestamp="2026-05-01T00:00:00Z"))
    with recommender.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO recommender.signals SELECT at + n * interval '1 second', received_at, "
                "identity_id, account_id, kind, asset_id, weight, gen_random_uuid(), event "
                "FROM recommender.signals, generate_series(1, 30000) n"
            )
        )
        connection.exec_driver_sql("UPDATE recommender.buyers SET version = version + 1, stale = true")
    found = recommender.buyer("machine")
    assert found["signal_count"] == store.MOST_SIGNALS
    assert len(found["recent_signals"]) <= 50
    fold_all(recommender)
    assert stored(recommender) == replayed(recommender)
    assert recommender.recommend(user_id="machine")["meta"]["tier"] == "personal"


def test_as_of_is_the_state_of_that_moment(recommender: Rig, clock: SettableClock) -> None:
    recommender.put("a")
    recommender.send(view("1", "u"))
    clock.advance(days=10)
    before = recommender.recommend(user_id="u", as_of="2026-06-01T11:00:00Z")
    after = recommender.recommend(user_id="u", as_of="2026-06-01T13:00:00Z")
    assert (before["meta"]["tier"] == "personal", after["meta"]["tier"] == "personal") == (False, True)


def everywhere(rig: Rig, text: str) -> set[str]:
    """Tables of any schema of ours whose rows hold the text, in whatever column and form."""
    tables = rig.rows(
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    )
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    forms = [text, escaped, escaped.replace('"', '""'), text.encode().hex(), escaped.encode().hex()]
    return {
        table
        for (table,) in tables
        if rig.rows(
            f"SELECT 1 FROM {table} t, unnest(%s::text[]) AS f WHERE position(f IN t::text) > 0 LIMIT 1",
            forms,
        )
    }


def live(rig: Rig, user: str, device: str) -> None:
    """A life that leaves traces wherever there are any."""
    rig.send(
        view(f"{user}1", user, context={"groupId": "acme"}),
        {
            "type": "identify",
            "messageId": f"{user}2",
            "userId": user,
            "anonymousId": device,
            "traits": {"email": user},
        },
        {"type": "alias", "messageId": f"{user}3", "previousId": f"former {user}", "userId": user},
        {"type": "page", "messageId": f"{user}4", "anonymousId": device},
        {"type": "track", "messageId": f"{user}5", "userId": user},  # a dead letter
        {"type": "purchase", "messageId": f"{user}6", "anonymousId": device},
    )


@pytest.mark.parametrize("user", ["erase.me@firm.example", 'odd "quoted" \\ id', "ünïcode-日本", "12345678"])
def test_nothing_of_an_erased_buyer_is_left(recommender: Rig, user: str) -> None:
    recommender.put("a")
    device = f"device of {user}"
    live(recommender, user, device)
    live(recommender, "somebody else", "another device")
    fold_all(recommender)
    assert len(everywhere(recommender, "somebody else")) >= 3
    receipt = recommender.client.post("/v1/buyers/" + quoted(device) + ":erase").json
    assert receipt is not None
    assert (receipt["identities"], receipt["signals"], receipt["already_erased"]) == (4, 4, False)
    for trace in (user, device):
        assert everywhere(recommender, trace) == set()
    assert code(recommender.client.get("/v1/buyers/" + quoted(user))) == (404, "buyer_not_found")
    assert recommender.recommend(user_id=user)["meta"]["tier"] != "personal"
    again = recommender.client.post("/v1/buyers/" + quoted(user) + ":erase").json
    assert again is not None
    assert (again["receipt_id"], again["already_erased"]) == (receipt["receipt_id"], True)
    live(recommender, user, device)
    assert everywhere(recommender, user) == everywhere(recommender, device) == set()
    assert recommender.rows("SELECT count(*) FROM recommender.signals") == [(4,)]
    assert recommender.buyer("somebody else")["signal_count"] == 4


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def test_who_left_but_a_mail_or_an_unreadable_event_can_be_erased(recommender: Rig) -> None:
    recommender.put("a")
    slot = {"user_id": "mail.only@firm.example", "send_id": "s", "slot": "1", "count": 1}
    assert recommender.client.post("/v1/email/slots", json=slot).status_code == 200
    recommender.send({"type": "purchase", "userId": "unreadable only", "messageId": "1"})
    for who in ("mail.only@firm.example", "unreadable only"):
        assert everywhere(recommender, who) != set()
        receipt = recommender.client.post("/v1/buyers/" + quoted(who) + ":erase").json
        assert receipt is not None
        assert (receipt["identities"], receipt["already_erased"]) == (0, False)
        assert everywhere(recommender, who) == set()
    # The mail is opened once more, and the event sent again.
    assert recommender.client.post("/v1/email/slots", json=slot).status_code == 200
    recommender.send({"type": "purchase", "userId": "unreadable only", "messageId": "2"})
    assert everywhere(recommender, "mail.only@firm.example") == set()
    assert everywhere(recommender, "unreadable only") == set()


def test_an_erased_person_is_taken_out_of_what_others_said(recommender: Rig) -> None:
    who, mail = "cust-00001234", "maria.planted@firm.example"
    recommender.send({"type": "identify", "userId": who, "messageId": "1", "traits": {"email": mail}})
    said = {"by": who, "text": f"ask {mail} now", "list": [mail], "longer": f"x{who}", "kept": "all else"}
    recommender.send(view("2", "colleague", extra=said))
    recommender.send({"type": "group", "userId": "colleague", "groupId": "acme", "messageId": "3",
                      "traits": {"contact": mail}})  # fmt: skip
    recommender.send({"type": "purchase", "messageId": "4", "email": mail})
    before = recommender.buyer("colleague")["signal_count"]
    recommender.client.post(f"/v1/buyers/{who}:erase")
    assert everywhere(recommender, mail) == set()
    assert recommender.buyer("colleague")["signal_count"] == before
    (event,) = recommender.rows("SELECT event FROM recommender.signals WHERE event->>'messageId' = '2'")
    kept = {"by": "[erased]", "text": "ask [erased] now", "list": ["[erased]"], "longer": f"x{who}"}
    assert event[0]["extra"] == {**kept, "kept": "all else"}


def test_an_address_that_two_share_stays_with_the_other(recommender: Rig) -> None:
    for user in ("first person", "second person"):
        traits = {"email": "info.shared@firm.example"}
        recommender.send({"type": "identify", "userId": user, "messageId": user, "traits": traits})
    recommender.client.post("/v1/buyers/first%20person:erase")
    assert recommender.buyer("second person")["traits"]["email"] == "info.shared@firm.example"
    (event,) = recommender.rows("SELECT event FROM recommender.signals")
    assert event[0]["traits"]["email"] == "info.shared@firm.example"


def test_an_erasure_takes_no_more_than_it_should(recommender: Rig) -> None:
    recommender.send({"type": "page", "userId": "1", "messageId": "m1"})
    recommender.send({"type": "purchase", "userId": "2", "messageId": "m2", "note": "chapter 1"})
    recommender.send({"type": "purchase", "userId": 1, "messageId": "m3"})
    recommender.send({"type": "purchase", "userId": "1", "messageId": "m4"})
    recommender.send({"type": "purchase", "userId": "11", "messageId": "a1b"})
    assert recommender.client.post("/v1/buyers/1:erase").status_code == 200
    left = recommender.rows("SELECT convert_from(event, 'UTF8') FROM recommender.dead_letters")
    assert len(left) == 2
    assert all('"userId":"1"' not in row[0] and '"userId":1,' not in row[0] for row in left)


def test_a_shared_device_is_erased_from_the_other_persons_signals(recommender: Rig) -> None:
    first = {"userId": "first person", "anonymousId": "shared device"}
    recommender.send({"type": "identify", "messageId": "1", "timestamp": "2026-01-01T00:00:00Z", **first})
    recommender.send(view("2", "second person", anonymousId="shared device"))
    recommender.client.post("/v1/buyers/first%20person:erase")
    assert everywhere(recommender, "first person") == set()
    assert everywhere(recommender, "shared device") == set()
    assert recommender.buyer("second person")["signal_count"] == 1
    recommender.send(view("3", "second person", anonymousId="shared device"))
    recommender.send({"type": "page", "messageId": "4", "anonymousId": "shared device"})
    assert recommender.buyer("second person")["signal_count"] == 2
    assert everywhere(recommender, "shared device") == set()


def test_an_erasure_that_races_with_signals_leaves_nothing(make_recommender: RigMaker) -> None:
    rigs = [make_recommender(), make_recommender()]
    for attempt in range(4):
        user = f"racing person {attempt}"
        live(rigs[0], user, f"first device of {user}")
        barrier = threading.Barrier(4)

        def send(worker: int, user: str = user, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(20)
            for n in range(4):
                device = f"device {worker} {n} of {user}"
                events = [
                    {"type": "identify", "userId": user, "anonymousId": device, "messageId": f"{device} i"},
                    view(f"{device} v", user, anonymousId=device),
                ]
                answer = rigs[worker % 2].send(*events)
                assert answer.status_code == 200, answer.text
            return 200

        def erase(user: str = user, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(20)
            answer = rigs[0].client.post("/v1/buyers/" + quoted(user) + ":erase")
            assert answer.status_code == 200, answer.text
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            work = [pool.submit(send, n) for n in range(3)] + [pool.submit(erase)]
            assert [future.result(60) for future in work] == [200] * 4
        assert rigs[0].rows("SELECT 1 FROM recommender.identities WHERE external_id = %s", user) == []
        assert rigs[0].rows("SELECT 1 FROM recommender.signals WHERE event->>'userId' = %s", user) == []
        orphans = rigs[0].rows(
            "SELECT count(*) FROM recommender.signals s "
            "LEFT JOIN recommender.identities i USING (identity_id) WHERE i.identity_id IS NULL"
        )
        assert orphans == [(0,)]


def test_an_export_holds_every_signal(recommender: Rig) -> None:
    recommender.put("a")
    live(recommender, "u", "d")
    recommender.send(view("with extra", "u", extra={"kept": ["as", "sent"]}))
    export = recommender.client.get("/v1/buyers/d:export").json
    assert export is not None
    assert {i["id"] for i in export["buyer"]["ids"]} == {"u", "d", "former u"}
    assert len(export["signals"]) == export["buyer"]["signal_count"] == 5
    sent = {s["event"]["messageId"]: s for s in export["signals"]}
    assert sent["with extra"]["event"]["extra"] == {"kept": ["as", "sent"]}
    assert sent["u1"]["asset_id"] == "a"
    assert {(i["kind"], i["id"]) for i in export["identities"]} >= {("user", "u"), ("anonymous", "d")}
    assert len(export["unreadable"]) == 2
    assert {"recommendations", "emails", "webhooks"} <= export.keys()
    assert code(recommender.client.get("/v1/buyers/nobody:export")) == (404, "buyer_not_found")
    assert code(recommender.client.post("/v1/buyers/nobody:erase")) == (404, "buyer_not_found")
