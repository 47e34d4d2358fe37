"""What a browser says of who it is, on a real PostgreSQL: nobody joins, reads or poisons a known buyer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from recommender_rig import Rig

REFUSED = {"categoryPreferences": {"a": False}}
SECRET = "read-by-the-victim-alone"


def browser(rig: Rig, *events: dict[str, Any], proven: tuple[str, ...] = ()) -> dict[str, int]:
    headers = {"X-Signal-Source": "publishable", "X-Proven-Users": orjson.dumps(proven).decode()}
    answer = rig.send(*events, **{name.replace("-", "_"): value for name, value in headers.items()})
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return dict(answer.json)


def event(call: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {"type": call, "messageId": message_id, **more}


def read(message_id: str, asset_id: str, **who: Any) -> dict[str, Any]:
    properties = {"asset_id": asset_id}
    return event("track", message_id, event="Content Viewed", properties=properties, **who)


def ids(rig: Rig, buyer: str) -> set[tuple[str, str]]:
    return {(one["kind"], one["id"]) for one in rig.buyer(buyer)["ids"]}


@pytest.fixture
def firm(recommender: Rig) -> Rig:
    """A victim whom a server knows, in an account, having read one asset."""
    for name in (SECRET, "other", "third"):
        recommender.put(name)
    recommender.send(
        event("identify", "v1", userId="victim", traits={"title": "CFO"}, context={"groupId": "acme"}),
        read("v2", SECRET, userId="victim"),
    )
    return recommender


JOINS: list[dict[str, Any]] = [
    event("identify", "x", userId="victim", anonymousId="evil", traits={"title": "CEO"}),
    event("identify", "x", userId="victim", anonymousId="evil", timestamp="1999-01-01T00:00:00Z"),
    event("alias", "x", userId="victim", previousId="evil", anonymousId="evil"),
    event("alias", "x", userId="evil-user", previousId="victim", anonymousId="evil"),
    event("alias", "x", userId="evil", previousId="victim", anonymousId="victim"),
    event("group", "x", userId="victim", anonymousId="evil", groupId="evil.example"),
    event("group", "x", anonymousId="evil", groupId="acme", traits={"industry": "Crime"}),
    event("track", "x", anonymousId="evil", event="Opportunity Won", context={"groupId": "acme"}),
    event("page", "x", userId="victim", anonymousId="evil", context={"groupId": "acme"}),
    read("x", "other", userId="victim", anonymousId="evil"),
    event(
        "track",
        "x",
        userId="victim",
        anonymousId="evil",
        event="X",
        context={"consent": {"categoryPreferences": {"a": False}}},
    ),
]


@pytest.mark.parametrize("attempt", JOINS)
def test_a_browser_neither_joins_nor_changes_a_known_buyer(firm: Rig, attempt: dict[str, Any]) -> None:
    victim, account = firm.buyer("victim"), firm.client.get("/v1/accounts/acme").json
    stranger = firm.shown(anonymous_id="stranger")
    assert browser(firm, attempt)["dead_letters"] == 0
    assert firm.buyer("victim") == victim
    assert firm.client.get("/v1/accounts/acme").json == account
    evil = firm.buyer(attempt["anonymousId"] if attempt["anonymousId"] != "victim" else "evil")
    assert ("user", "victim") not in {(one["kind"], one["id"]) for one in evil["ids"]}
    assert evil["account_id"] != "acme"
    # What the victim has read is not shown to them again; to the attacker it is, as to anybody.
    assert SECRET in firm.shown(anonymous_id="evil")
    assert firm.shown(anonymous_id="evil") >= stranger - {"other"}
    assert SECRET not in firm.shown(user_id="victim")


def test_a_signal_that_names_a_known_user_stays_with_the_browser(firm: Rig) -> None:
    browser(firm, read("x", "other", userId="victim", anonymousId="evil"))
    assert firm.buyer("evil")["signal_count"] == 1
    assert firm.buyer("victim")["signal_count"] == 2
    assert "other" in firm.shown(user_id="victim")


def test_a_browser_without_an_anonymous_id_must_bring_a_proof(firm: Rig) -> None:
    assert browser(firm, read("x", "other", userId="victim")) == {
        "accepted": 0,
        "duplicates": 0,
        "dead_letters": 1,
    }
    assert firm.rows("SELECT code FROM recommender.dead_letters") == [("user_unproven",)]
    assert browser(firm, read("y", "other", userId="victim"), proven=("victim",))["accepted"] == 1
    assert firm.buyer("victim")["signal_count"] == 3


def test_a_proof_joins_and_is_not_kept(firm: Rig) -> None:
    told = event(
        "identify", "x", userId="victim", anonymousId="phone", context={"user_token": "t0ken", "a": 1}
    )
    browser(firm, told, proven=("victim",))
    assert ids(firm, "victim") == {("user", "victim"), ("anonymous", "phone")}
    assert SECRET not in firm.shown(anonymous_id="phone")
    kept = firm.rows("SELECT event FROM recommender.signals WHERE event->>'anonymousId' = 'phone'")
    assert kept[0][0]["context"] == {"a": 1}
    # The proof of one user says nothing of another.
    browser(firm, event("identify", "y", userId="victim", anonymousId="evil"), proven=("somebody",))
    assert ("anonymous", "evil") not in ids(firm, "victim")


def test_whom_nobody_knows_a_browser_may_introduce(firm: Rig) -> None:
    browser(
        firm,
        read("1", "other", anonymousId="home"),
        event("identify", "2", userId="new", anonymousId="home", traits={"title": "CTO"}),
        event("group", "3", userId="new", anonymousId="home", groupId="new.example", traits={"a": 1}),
        event("alias", "4", userId="new", anonymousId="home", previousId="old"),
        read("5", "third", userId="new", anonymousId="home"),
    )
    buyer = firm.buyer("new")
    assert {("user", "new"), ("anonymous", "home"), ("anonymous", "old")} <= ids(firm, "new")
    assert (buyer["signal_count"], buyer["account_id"], buyer["traits"]["title"]) == (5, "new.example", "CTO")
    # And nobody else may come after them.
    browser(firm, event("identify", "6", userId="new", anonymousId="evil"))
    browser(firm, event("group", "7", anonymousId="evil", groupId="new.example"))
    assert ("anonymous", "evil") not in ids(firm, "new")
    assert firm.buyer("evil")["account_id"] is None
    assert len(firm.client.get("/v1/accounts/new.example").json["buying_group"]) == 1  # type: ignore[index]


def test_a_name_taken_in_advance_is_lost_when_a_server_uses_it(firm: Rig) -> None:
    browser(
        firm,
        event("identify", "1", userId="soon", anonymousId="evil", context={"groupId": "soon.example"}),
        read("2", "other", userId="soon", anonymousId="evil"),
    )
    firm.send(
        event("identify", "3", userId="soon", traits={"title": "CIO"}, context={"groupId": "soon.example"})
    )
    firm.send(read("4", SECRET, userId="soon"))
    assert ids(firm, "soon") == {("user", "soon")}
    assert firm.buyer("soon")["signal_count"] == 2
    assert SECRET in firm.shown(anonymous_id="evil")
    group = firm.client.get("/v1/accounts/soon.example").json
    assert group is not None
    assert [member["user_id"] for member in group["buying_group"]] == ["soon"]
    browser(firm, read("5", "third", userId="soon", anonymousId="evil"))
    assert firm.buyer("soon")["signal_count"] == 2
    # The one who was honest comes back with a proof, and brings their past along.
    browser(firm, event("identify", "6", userId="soon", anonymousId="evil"), proven=("soon",))
    assert ("anonymous", "evil") in ids(firm, "soon")


def test_an_erasure_takes_also_what_browsers_claimed(firm: Rig) -> None:
    browser(
        firm,
        event("identify", "1", userId="soon", anonymousId="home"),
        read("2", "other", userId="soon", anonymousId="home"),
    )
    firm.send(read("3", SECRET, userId="soon"))
    browser(firm, read("4", "third", userId="soon", anonymousId="evil"))
    assert firm.client.post("/v1/buyers/soon:erase").status_code == 200
    left = firm.rows(
        "SELECT event::text FROM recommender.signals UNION SELECT external_id FROM recommender.identities"
    )
    assert not [row for row in left if '"soon"' in row[0] or row[0] == "soon"]


def test_servers_are_believed_as_before(firm: Rig) -> None:
    firm.send(event("identify", "1", userId="victim", anonymousId="office"), X_Signal_Source="secret")
    assert ("anonymous", "office") in ids(firm, "victim")


def test_a_broken_header_is_told(firm: Rig) -> None:
    for value in ("{", "{}"):
        answer = firm.send(read("x", "other", anonymousId="a"), X_Proven_Users=value)
        assert answer.status_code == 400
