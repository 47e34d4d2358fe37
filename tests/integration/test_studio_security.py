"""The studio against those who want more than they may: roles, sessions, forged forms, guessed passwords."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask, g

from gateway.app import create_app
from gateway.studio.audit import AuditLog
from gateway.studio.editing import Editing
from gateway.studio.roles import Role, needed_by
from gateway.studio.throttle import SignInThrottle
from integration.studio_place import FORM, PASSWORD, Place, place, post, rules, token_on
from servicekit.errors import Conflict, Forbidden, NotFound, TooManyRequests, Unprocessable
from unit.gateway.gateway_fixtures import stand_in, stand_in_server
from unit.gateway.gateway_stand_in import StandIn
from unit.gateway.stand_in_documents import stored_asset as asset_document

__all__ = ["place", "stand_in", "stand_in_server"]


def test_every_view_says_who_may_call_it(place: Place) -> None:
    unmarked = [
        e for e, view in place.studio.view_functions.items() if e != "static" and needed_by(view) is None
    ]
    assert unmarked == []
    open_ones = {
        e for e, v in place.studio.view_functions.items() if (needed_by(v) or (Role.VIEWER,))[0] is None
    }
    assert open_ones <= {
        "static_files", "sign_in.page", "sign_in.sign_in", "sign_in.setup", "sign_in.accept",
        "single_sign_on.begin", "single_sign_on.back",
    }  # fmt: skip


def test_a_view_without_a_mark_is_closed(place: Place) -> None:
    other = create_app(place.app.extensions["parts"].settings, start=False)
    studio: Flask = other.extensions["studio"]
    other.extensions["parts"].keys.refresh()
    studio.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    assert other.test_client().get("/studio/forgotten").status_code == 403


def test_without_signing_in_nothing_is_shown_or_changed(place: Place) -> None:
    client = place.browser()
    for endpoint, method, path in rules(place):
        if (needed_by(place.studio.view_functions[endpoint]) or (None,))[0] is None:
            continue
        answer = client.open(f"/studio{path}", method=method, data=FORM if method == "POST" else None)
        assert answer.status_code == 303, (method, path)
        assert answer.location.startswith("/studio/sign-in"), (method, path)


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_as_far_as_its_own_pages(place: Place, stand_in: StandIn, role: Role) -> None:
    """IDOR across roles: whatever address is known, what is above one's role is refused."""
    client = place.browser(place.person(role))
    token = token_on(client, "/goals")
    for endpoint, method, path in rules(place):
        needed = (needed_by(place.studio.view_functions[endpoint]) or (None,))[0]
        if needed is None or endpoint == "sign_in.sign_out":
            continue
        data = {**FORM, "csrf_token": token, "id": "nobody-there"} if method == "POST" else None
        answer = client.open(f"/studio{path}", method=method, data=data)
        if role.may(needed):
            assert answer.status_code not in (401, 403), (role, method, path, answer.text[:200])
        else:
            assert answer.status_code == 403, (role, method, path)


def test_an_upload_takes_nothing_off_the_air_that_its_sender_may_not(place: Place, stand_in: StandIn) -> None:
    fields = {"title": "Live", "url": "https://a.example", "status": "approved"}
    stand_in.assets["live"] = {**asset_document("live", fields, 1), "status": "approved"}
    editing = Editing(place.desk)
    with place.studio.test_request_context():
        g.user = place.desk.people.find_by_email(place.person(Role.EDITOR))
        with pytest.raises(Forbidden, match="approver"):
            editing.replaceable("live")
        stand_in.assets["live"]["status"] = "draft"
        assert editing.replaceable("live")["id"] == "live"
        g.user = place.desk.people.find_by_email(place.person(Role.APPROVER))
        stand_in.assets["live"]["status"] = "approved"
        assert editing.replaceable("live")["id"] == "live"


def test_only_ones_own_changes_are_closed_as_one_and_taken_back_together(
    place: Place, stand_in: StandIn
) -> None:
    mine, theirs = place.person(Role.APPROVER), place.person(Role.APPROVER)
    for n in (1, 2):
        fields = {"title": f"T{n}", "url": "https://a.example"}
        stand_in.assets[f"many-{n}"] = {**asset_document(f"many-{n}", fields, 1), "status": "draft"}
    client = place.browser(mine)
    token = token_on(client, "/goals")
    step = {"X-Requested-With": "studio"}
    sent = {"csrf_token": token, "id": ["many-1", "many-2"], "do": "approved"}
    told = client.post("/studio/library/bulk", data=sent, headers=step).get_json()
    assert told["failures"] == []
    entries = ",".join(map(str, told["entries"]))
    stolen = post(place.browser(theirs), "/library/bulk/done", entries=entries, of="2", changed="2")
    assert stolen.status_code == 422
    closed = {"csrf_token": token, "entries": entries, "of": "2", "changed": "2", "back_q": "T"}
    answer = client.post("/studio/library/bulk/done", data=closed, headers=step)
    assert answer.get_json() == {"to": "/studio/library?q=T"}
    bundle = place.desk.audit.of("assets", "")[0]
    assert bundle.after == {"entries": told["entries"]}
    post(place.browser(place.person(Role.EDITOR)), "/undo", ids=str(bundle.entry_id))
    assert {one["status"] for name, one in stand_in.assets.items() if "many" in name} == {"approved"}
    undone = client.post(f"/studio/undo?ids={bundle.entry_id}", data={"csrf_token": token}, headers=step)
    assert undone.get_json() == {"to": "/studio/library"}
    assert {one["status"] for name, one in stand_in.assets.items() if "many" in name} == {"draft"}


def test_a_form_without_its_token_changes_nothing(place: Place, stand_in: StandIn) -> None:
    client = place.browser(place.person(Role.OPERATOR))
    before = len(stand_in.seen)
    for _, method, path in rules(place):
        if method != "POST":
            continue
        for token in ({}, {"csrf_token": "forged"}, {"csrf_token": "IjEyMyI.aaaa.bbbb"}):
            answer = client.post(f"/studio{path}", data={**FORM, **token})
            assert answer.status_code == 400, path
            assert "too old" in answer.text
    assert len(stand_in.seen) == before


def test_a_token_of_another_session_is_worth_nothing(place: Place) -> None:
    theirs = token_on(place.browser(place.person(Role.OPERATOR)), "/people")
    client = place.browser(place.person(Role.OPERATOR))
    answer = client.post("/studio/people/invite", data={"csrf_token": theirs, **FORM})
    assert answer.status_code == 400


def test_signing_in_gives_a_new_session_and_drops_the_old_one(place: Place) -> None:
    email = place.person(Role.EDITOR)
    client = place.browser()
    client.get("/studio/sign-in")
    planted = client.get_cookie("foreword_studio", path="/studio")
    post(client, "/sign-in", page="/sign-in", email=email, password=PASSWORD)
    mine = client.get_cookie("foreword_studio", path="/studio")
    assert planted is not None
    assert mine is not None
    assert planted.value != mine.value
    attacker = place.browser()
    attacker.set_cookie("foreword_studio", planted.value, path="/studio")
    assert attacker.get("/studio/library").status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(place: Place) -> None:
    header = place.browser().get("/studio/sign-in").headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/studio"):
        assert part in header
    assert "Secure" not in header
    secure = place.app.test_client().get("/studio/sign-in", base_url="https://localhost")
    assert "Secure" in secure.headers["Set-Cookie"]


def test_signing_out_ends_the_session_and_not_only_the_cookie(place: Place) -> None:
    client = place.browser(place.person(Role.VIEWER))
    cookie = client.get_cookie("foreword_studio", path="/studio").value
    assert post(client, "/sign-out").status_code == 303
    thief = place.browser()
    thief.set_cookie("foreword_studio", cookie, path="/studio")
    assert thief.get("/studio/goals").status_code == 303


def test_a_person_switched_off_is_out_at_once_and_a_role_holds_at_once(place: Place) -> None:
    email = place.person(Role.EDITOR)
    client, operator = place.browser(email), place.browser(place.person(Role.OPERATOR))
    user = place.desk.people.find_by_email(email)
    assert user is not None
    assert client.get("/studio/upload").status_code == 200
    post(operator, "/people/role", page="/people", id=user.user_id, role="viewer")
    assert client.get("/studio/upload").status_code == 403
    post(operator, "/people/switch", page="/people", id=user.user_id, to="off")
    assert client.get("/studio/goals").status_code == 303
    assert place.desk.people.with_password(email, PASSWORD) is None


def test_a_changed_role_can_be_taken_back_by_an_operator_alone(place: Place) -> None:
    email, operator = place.person(Role.EDITOR), place.browser(place.person(Role.OPERATOR))
    user = place.desk.people.find_by_email(email)
    assert user is not None
    post(operator, "/people/role", page="/people", id=user.user_id, role="approver")
    entry = place.desk.audit.of("person", user.user_id)[0]
    post(place.browser(email), "/undo", ids=str(entry.entry_id))
    assert place.desk.people.find(user.user_id).role is Role.APPROVER
    assert "Undo" in operator.get("/studio/people").text
    post(operator, "/undo", page="/people", ids=str(entry.entry_id))
    assert place.desk.people.find(user.user_id).role is Role.EDITOR


def test_an_idle_session_ends(place: Place) -> None:
    client = place.browser(place.person(Role.VIEWER))
    now = place.clock[0]
    try:
        place.clock[0] = now + timedelta(hours=11)
        assert client.get("/studio/goals").status_code == 200
        place.clock[0] = now + timedelta(hours=24)
        assert client.get("/studio/goals").status_code == 303
    finally:
        place.clock[0] = now


def test_the_last_operator_cannot_lock_everybody_out(place: Place) -> None:
    people = place.desk.people
    operators = [u for u in people.all() if u.role is Role.OPERATOR and u.disabled_at is None]
    if not operators:
        operators = [people.find_by_email(place.person(Role.OPERATOR))]  # type: ignore[list-item]
    for user in operators[1:]:
        people.disable(user.user_id, now=place.clock[0])
    with pytest.raises(Conflict):
        people.disable(operators[0].user_id, now=place.clock[0])
    with pytest.raises(Conflict):
        people.set_role(operators[0].user_id, Role.VIEWER)


def test_an_invitation_works_once_and_not_for_ever(place: Place) -> None:
    people, now = place.desk.people, place.clock[0]
    token = people.invite(Role.VIEWER, email="once@example.com", now=now)
    found = people.invitation(token, now=now)
    with pytest.raises(Unprocessable):
        people.accept(found, email="", name="n", password="short", now=now)
    people.accept(found, email="someone-else@example.com", name="n", password=PASSWORD, now=now)
    assert people.find_by_email("someone-else@example.com") is None  # bound to the invited address
    with pytest.raises(Conflict):
        people.accept(found, email="", name="n", password=PASSWORD, now=now)
    for gone in (
        token,
        "never",
        people.invite(Role.VIEWER, email="late@example.com", now=now - timedelta(days=4)),
    ):
        with pytest.raises(NotFound):
            people.invitation(gone, now=now)


def test_passwords_are_kept_as_argon2_and_links_as_digests(place: Place) -> None:
    email = place.person(Role.VIEWER)
    token = place.desk.people.invite(Role.VIEWER, email="kept@example.com", now=place.clock[0])
    with place.engine.connect() as connection:
        kept = connection.execute(
            sa.text("SELECT password_hash FROM gateway.studio_users WHERE email = :e"), {"e": email}
        ).scalar_one()
        links = (
            connection.execute(sa.text("SELECT i::text FROM gateway.studio_invitations i")).scalars().all()
        )
    assert kept.startswith("$argon2id$")
    assert all(token not in row for row in links)


def test_guessing_is_slowed_down_and_tells_nothing(place: Place) -> None:
    email = place.person(Role.VIEWER)
    client = place.browser()
    wrong = post(client, "/sign-in", page="/sign-in", email=email, password="wrong")
    unknown = post(client, "/sign-in", page="/sign-in", email="nobody@example.com", password="wrong")
    assert wrong.status_code == unknown.status_code == 401
    plain = [re.sub(r'value="[^"]*"|"X-CSRFToken": "[^"]*"', "", a.text) for a in (wrong, unknown)]
    assert plain[0] == plain[1]
    answers = [post(client, "/sign-in", page="/sign-in", email=email, password="wrong") for _ in range(10)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    with pytest.raises(TooManyRequests):
        place.desk.throttle.attempt("127.0.0.1", email)


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/studio\\evil", "javascript:alert(1)", "/v1/assets"]
)
def test_after_signing_in_nobody_is_sent_elsewhere(place: Place, target: str) -> None:
    object.__setattr__(place.desk, "throttle", SignInThrottle())  # the tests before made many attempts
    client = place.browser()
    email = place.person(Role.VIEWER)
    answer = post(client, "/sign-in", page="/sign-in", email=email, password=PASSWORD, next=target)
    assert answer.location == "/studio/library"


def test_pages_carry_a_strict_policy_and_an_api_key_opens_nothing(place: Place) -> None:
    answer = place.browser().get("/studio/sign-in")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script>", answer.text)
    assert answer.headers["X-Frame-Options"] == "DENY"
    with_key = place.browser().get("/studio/library", headers={"Authorization": "Bearer fw_sk_anything"})
    assert with_key.status_code == 303


def test_the_audit_log_is_whole_and_safe_in_a_spreadsheet(place: Place) -> None:
    log = AuditLog(place.engine)
    log.record(None, "tried", ("asset", "=cmd|' /C calc'!A0"), "@SUM(1)", now=place.clock[0])
    client = place.browser(place.person(Role.OPERATOR))
    answer = client.get("/studio/audit.csv")
    assert answer.mimetype == "text/csv"
    assert "'=cmd|" in answer.text
    assert "'@SUM(1)" in answer.text
    assert not re.search(r"(^|,)\"?[=@+]", answer.text, re.MULTILINE)


def test_a_silent_recommender_is_told_in_words(place: Place, stand_in: StandIn) -> None:
    client = place.browser(place.person(Role.VIEWER))
    stand_in.status = 503
    answer = client.get("/studio/library")
    assert answer.status_code == 503
    assert "A part of Foreword is away" in answer.text
