"""Email slots on a real database: chosen once, the same at every opening, the expired by an equivalent."""

from __future__ import annotations

from typing import Any

import pytest

from recommender.store.retention import forget
from recommender_rig import Rig, RigMaker, SwitchableEmbedder, code


@pytest.fixture
def firm(recommender: Rig) -> Rig:
    for number in range(1, 7):
        recommender.put(f"asset-{number}")
    return recommender


def slot(rig: Rig, **request: Any) -> list[str]:
    asked = {"send_id": "june", "user_id": "u-1", "count": 3, **request}
    answer = rig.client.post("/v1/email/slots", json=asked)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json is not None
    return [item["id"] for item in answer.json["items"]]


def test_opening_again_shows_the_same_though_the_buyer_moved_on(firm: Rig) -> None:
    first = slot(firm)
    for asset_id in first:
        firm.send(
            {
                "type": "track",
                "event": "Asset Downloaded",
                "userId": "u-1",
                "properties": {"asset_id": asset_id},
                "messageId": f"m-{asset_id}",
            }
        )
    assert not set(first) & firm.shown(user_id="u-1", count=3)
    assert slot(firm) == first
    assert slot(firm, send_id="july") != first
    assert len(firm.rows("SELECT * FROM recommender.email_slots")) == 2


def test_each_slot_and_each_recipient_has_its_own(firm: Rig) -> None:
    slot(firm)
    slot(firm, slot="footer")
    slot(firm, user_id="u-2")
    slot(firm, user_id=None, anonymous_id="u-1")
    assert len(firm.rows("SELECT * FROM recommender.email_slots")) == 4


def test_an_expired_asset_is_replaced_by_its_equivalent_and_stays_replaced(firm: Rig) -> None:
    first = slot(firm)
    firm.put("newer", equivalent_to=first[0])
    expired = firm.clock.now.isoformat()
    firm.client.patch(firm.path(first[0]), json={"expires_at": expired})
    firm.clock.advance(seconds=1)
    assert slot(firm) == ["newer", *first[1:]]
    answer = firm.client.get(f"/v1/replacements/{first[0]}")
    assert answer.json == {"id": "newer", "url": "https://firm.example/newer"}
    assert firm.client.get("/v1/replacements/newer").json == answer.json


@pytest.mark.parametrize("deleted_is", ["the original", "the other form"])
def test_a_deleted_asset_is_replaced_by_its_equivalent(firm: Rig, deleted_is: str) -> None:
    first = slot(firm)
    if deleted_is == "the original":
        firm.put("other", equivalent_to=first[0])
    else:
        firm.put("other")
        firm.put(first[0], equivalent_to="other")
    firm.client.delete(firm.path(first[0]))
    assert slot(firm) == ["other", *first[1:]]


def test_without_an_equivalent_the_next_best_takes_its_place(firm: Rig) -> None:
    first = slot(firm)
    firm.client.delete(firm.path(first[0]))
    second = slot(firm)
    assert second[:2] == first[1:]
    assert len(second) == 3
    assert not {first[0]} & set(second)
    assert slot(firm) == second
    assert code(firm.client.get(f"/v1/replacements/{first[0]}")) == (404, "asset_not_found")


def test_somebody_must_be_named(firm: Rig) -> None:
    answer = firm.client.post("/v1/email/slots", json={"send_id": "june"})
    assert code(answer) == (422, "fields_invalid")


def test_an_erased_buyer_leaves_no_slot(firm: Rig) -> None:
    firm.send({"type": "identify", "userId": "u-1", "messageId": "m"})
    slot(firm)
    firm.client.post("/v1/buyers/u-1:erase")
    assert firm.rows("SELECT * FROM recommender.email_slots") == []


def test_two_replicas_agree_on_a_slot(make_recommender: RigMaker, embedder: SwitchableEmbedder) -> None:
    one, other = make_recommender(), make_recommender()
    for number in range(1, 7):
        one.put(f"asset-{number}")
    assert slot(one) == slot(other)


def test_what_a_mail_showed_is_kept_as_long_as_the_firm_says(firm: Rig) -> None:
    first = slot(firm)
    firm.clock.advance(seconds=90 * 86_400)
    slot(firm, send_id="september")
    now = firm.clock.now
    assert forget(firm.engine, now, 25, keep_email_days=91).rows["email_slots"] == 0
    assert forget(firm.engine, now, 25, keep_email_days=60, dry_run=True).rows["email_slots"] == 1
    assert slot(firm) == first
    assert forget(firm.engine, now, 25, keep_email_days=60).rows["email_slots"] == 1
    assert firm.rows("SELECT send_id FROM recommender.email_slots") == [("september",)]


def test_the_accounts_of_recipients_are_those_of_the_log(firm: Rig) -> None:
    firm.send(
        {"type": "group", "userId": "u-1", "groupId": "acme.example", "messageId": "m-1"},
        {"type": "identify", "userId": "u-1", "anonymousId": "a-1", "messageId": "m-2"},
        {"type": "track", "event": "Pricing Viewed", "userId": "u-2", "messageId": "m-3"},
    )
    firm.shown(user_id="u-1")
    recipients = [
        {"kind": "user", "id": "u-1"},
        {"kind": "user", "id": "u-2"},
        {"kind": "anonymous", "id": "a-1"},
        {"kind": "anonymous", "id": "u-1"},
    ]
    answer = firm.client.post("/v1/email/accounts", json={"recipients": recipients})
    assert answer.json == {"accounts": ["acme.example", None, "acme.example", None]}
    assert firm.client.post("/v1/email/accounts", json={"recipients": [{"id": "x"}]}).status_code == 422
