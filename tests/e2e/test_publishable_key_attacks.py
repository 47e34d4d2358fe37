"""What a stranger with the key of a website may try, to learn about somebody else's profile. Nothing works.

The victim is a known buyer with a profile of their own, who has read one asset about a subject that nobody
else reads. `probe` is another asset on that subject: whoever is shown it was taken for the victim.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest

from e2e.foreword_process import Answer, Api
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

SUBJECT = (
    "Zymurgic quillwort fermenters: how quillwort spores are cultured in zymurgic brewing vats, at what "
    "temperature the quillwort ferments, and what a zymurgist measures in the vat every hour."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A victim, what only their profile could tell, and the attacker's key."""

    firm: Api
    attacker: Api
    victim: str
    device: str
    account: str
    probe: str

    def ask(self, document: dict[str, Any], **headers: str) -> Answer:
        body = {"count": 10, "placement": "attack", **document}
        sent = {"Content-Type": "application/json", **headers}
        return self.attacker.send("POST", "/v1/recommendations", orjson.dumps(body), sent)

    def learns_nothing(self, answer: Answer) -> None:
        """The answer is one that any stranger gets: of no person's tier, and without the victim's subject."""
        assert answer.status == 200, answer.body
        document = answer.json()
        assert set(document) <= {"recommendation_id", "items", "meta", "warnings"}
        assert document["meta"]["tier"] in ("stage", "popular", "static"), document["meta"]["tier"]
        assert self.probe not in {item["id"] for item in document["items"]}
        for item in document["items"]:
            assert item.get("score") is None
            assert item.get("stage") is None
            assert item.get("terms") is None

    def refused(self, answer: Answer, code: str | None = None) -> None:
        assert answer.status == 403, (answer.status, answer.body)
        assert code is None or answer.json()["code"] == code


@pytest.fixture(scope="module")
def scene(stack: Stack, api: Api) -> Iterator[Scene]:
    mark = uuid.uuid4().hex[:8]
    read, probe = f"quillwort-{mark}-read", f"quillwort-{mark}-probe"
    fillers = [f"filler-{mark}-{number}" for number in range(30)]
    for asset_id in fillers:  # enough that a stranger is never shown the probe for want of anything else
        text = f"A text about {asset_id}, a subject that many read and that nobody here has to do with."
        assert api.put_asset(asset_id, summary=text, body=text, type="blog", status="approved").status == 201
    for asset_id in (read, probe):
        stored = api.put_asset(
            asset_id, title=f"Quillwort, {asset_id}", summary=SUBJECT, body=SUBJECT, type="whitepaper",
            publish_at="2020-01-01T00:00:00Z", status="approved",
        )  # fmt: skip
        assert stored.status == 201, stored.body
    made = Scene(api, Api(stack.url, stack.keys["publishable"]), f"victim-{mark}", f"device-{mark}",
                 f"victim-{mark}.example", probe)  # fmt: skip
    events: list[dict[str, Any]] = [
        {"type": "identify", "userId": made.victim, "anonymousId": made.device, "traits": {"title": "CISO"}},
        {"type": "group", "userId": made.victim, "groupId": made.account, "traits": {"industry": "falconry"}},
        {"type": "track", "userId": made.victim, "event": "Pricing Viewed"},
    ]
    for _ in range(6):
        for event in ("Asset Downloaded", "Content Shared", "Webinar Attended"):
            events.append(
                {"type": "track", "userId": made.victim, "event": event, "properties": {"asset_id": read}}
            )
    assert api.post("/v1/batch", {"batch": events}).status == 200
    yield made
    for asset_id in (read, probe, *fillers):
        api.send("DELETE", f"/v1/assets/{quote(asset_id)}")


def fresh() -> str:
    return f"attacker-{uuid.uuid4().hex}"


def test_the_victim_has_a_profile_that_could_be_betrayed(scene: Scene) -> None:
    """Without this every attack below would fail for the wrong reason."""
    assert scene.probe in scene.firm.recommended(user_id=scene.victim, count=10)
    scene.learns_nothing(scene.ask({"anonymous_id": fresh()}))


@pytest.mark.parametrize("path", ["", ":export"])
def test_01_read_the_buyer(scene: Scene, path: str) -> None:
    for buyer in (scene.victim, scene.device):
        scene.refused(scene.attacker.send("GET", f"/v1/buyers/{buyer}{path}"), "secret_key_needed")


def test_02_read_the_account(scene: Scene) -> None:
    scene.refused(scene.attacker.send("GET", f"/v1/accounts/{scene.account}"), "secret_key_needed")


def test_03_ask_for_the_victim_by_user_id(scene: Scene) -> None:
    scene.refused(scene.ask({"user_id": scene.victim}), "user_token_missing")


@pytest.mark.parametrize("made_of", ["nothing", "zeros", "a guessed secret", "the key", "the id alone"])
def test_04_forge_a_user_token(scene: Scene, made_of: str) -> None:
    forged = {
        "nothing": " ",
        "zeros": "0" * 64,
        "a guessed secret": hmac.new(b"secret", scene.victim.encode(), hashlib.sha256).hexdigest(),
        "the key": hmac.new(
            str(scene.attacker.key).encode(), scene.victim.encode(), hashlib.sha256
        ).hexdigest(),
        "the id alone": hashlib.sha256(scene.victim.encode()).hexdigest(),
    }[made_of]
    scene.refused(scene.ask({"user_id": scene.victim, "user_token": forged}), "user_token_invalid")


def test_05_tell_a_buyer_that_exists_from_one_that_does_not(scene: Scene) -> None:
    answers = [scene.ask({"user_id": who, "user_token": "0" * 64}) for who in (scene.victim, fresh())]
    known, unknown = ({k: v for k, v in a.json().items() if k != "request_id"} for a in answers)
    assert known == unknown


def test_06_name_the_victims_account(scene: Scene) -> None:
    scene.refused(scene.ask({"anonymous_id": fresh(), "account_id": scene.account}), "secret_key_needed")


def test_07_ask_for_another_moment(scene: Scene) -> None:
    asked = {"anonymous_id": scene.device, "as_of": "2026-01-01T00:00:00Z"}
    scene.refused(scene.ask(asked), "secret_key_needed")


@pytest.mark.parametrize(
    "tree",
    [
        {"must": [{"field": "stage", "any_of": ["decision"]}]},
        {"should": [{"must_not": [{"field": "stage", "any_of": ["decision"]}]}]},
    ],
)
def test_08_find_the_stage_out_by_filters(scene: Scene, tree: dict[str, Any]) -> None:
    scene.refused(scene.ask({"anonymous_id": scene.device, "filter": tree}), "secret_key_needed")


@pytest.mark.parametrize("explain", ["summary", "full"])
def test_09_have_it_explained(scene: Scene, explain: str) -> None:
    answer = scene.ask({"anonymous_id": scene.device, "explain": explain})
    assert answer.status == 200
    assert set(answer.json()) == {"recommendation_id", "items", "meta", "warnings"}
    for word in ('"stage"', '"score"', '"evidence"', '"terms"', "falconry", "CISO", scene.victim):
        assert word not in answer.body.decode(), word


def test_10_ask_why_about_the_victim(scene: Scene) -> None:
    asked = {"user_id": scene.victim, "asset_id": scene.probe}
    scene.refused(scene.attacker.post("/v1/explain", asked), "secret_key_needed")


def test_11_ask_in_a_batch(scene: Scene) -> None:
    line = b'{"user_id": "%b"}\n' % scene.victim.encode()
    sent = {"Content-Type": "application/x-ndjson"}
    scene.refused(scene.attacker.send("POST", "/v1/recommendations:batch", line, sent), "secret_key_needed")


def test_12_pass_the_user_id_off_as_an_anonymous_one(scene: Scene) -> None:
    scene.learns_nothing(scene.ask({"anonymous_id": scene.victim}))


def test_13_claim_with_identify_to_be_the_victim(scene: Scene) -> None:
    mine = fresh()
    claim = {"type": "identify", "userId": scene.victim, "anonymousId": mine}
    assert scene.attacker.post("/v1/identify", claim).status == 200
    scene.learns_nothing(scene.ask({"anonymous_id": mine}))


def test_14_claim_it_within_a_batch(scene: Scene) -> None:
    mine = fresh()
    claim = {"type": "identify", "userId": scene.victim, "anonymousId": mine, "traits": {"x": 1}}
    assert scene.attacker.post("/v1/b", {"batch": [claim]}).status == 200
    scene.learns_nothing(scene.ask({"anonymous_id": mine}))


@pytest.mark.parametrize("direction", ["mine to theirs", "theirs to mine"])
def test_15_join_ids_by_alias(scene: Scene, direction: str) -> None:
    mine = fresh()
    pair = (mine, scene.victim) if direction == "mine to theirs" else (scene.victim, mine)
    claim = {"type": "alias", "previousId": pair[0], "userId": pair[1], "anonymousId": mine}
    assert scene.attacker.post("/v1/alias", claim).status == 200
    scene.learns_nothing(scene.ask({"anonymous_id": mine}))


@pytest.mark.parametrize("call", ["group", "context"])
def test_16_join_the_victims_account(scene: Scene, call: str) -> None:
    mine = fresh()
    if call == "group":
        sent = scene.attacker.post("/v1/group", {"anonymousId": mine, "groupId": scene.account})
    else:
        event = {"anonymousId": mine, "event": "x", "context": {"groupId": scene.account}}
        sent = scene.attacker.post("/v1/track", event)
    assert sent.status == 200
    scene.learns_nothing(scene.ask({"anonymous_id": mine}))


def test_17_say_to_be_a_server(scene: Scene) -> None:
    """Headers that only the gateway may set."""
    mine = fresh()
    claim = {"type": "identify", "userId": scene.victim, "anonymousId": mine}
    spoof = {"X-Signal-Source": "secret", "X-User-Id": scene.victim, "X-Forwarded-User": scene.victim}
    assert scene.attacker.send("POST", "/v1/identify", orjson.dumps(claim), spoof).status == 200
    scene.learns_nothing(scene.ask({"anonymous_id": mine}, **spoof))


def test_18_name_two_buyers_at_once(scene: Scene) -> None:
    query = urlencode([("anonymous_id", "a"), ("user_id", "me"), ("user_id", scene.victim)])
    twice = scene.attacker.send("GET", f"/v1/recommendations?{query}")
    assert (twice.status, twice.json()["code"]) == (400, "parameter_repeated")
    body = b'{"user_id": "me", "user_id": "%b", "user_token": "%b"}' % (scene.victim.encode(), b"0" * 64)
    sent = {"Content-Type": "application/json"}
    scene.refused(scene.attacker.send("POST", "/v1/recommendations", body, sent), "user_token_invalid")


def test_19_read_what_a_click_link_holds(scene: Scene) -> None:
    answer = scene.firm.post("/v1/recommendations", {"user_id": scene.victim, "count": 3}).json()
    for item in answer["items"]:
        token = item["click_url"].rpartition("/")[2]
        opened = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        assert scene.victim.encode() not in opened
        assert item["id"].encode() not in opened


def test_20_see_by_answers_to_signals_what_is_known(scene: Scene) -> None:
    """A message id seen before, a buyer who exists or was erased: the answer is always the same."""
    message = f"probe-{uuid.uuid4().hex}"
    scene.firm.post("/v1/track", {"userId": scene.victim, "event": "x", "messageId": message})
    answers = {
        scene.attacker.post("/v1/track", {"event": "x", **event}).body
        for event in (
            {"userId": scene.victim, "messageId": message},
            {"userId": scene.victim},
            {"userId": fresh()},
            {"userId": scene.victim, "anonymousId": {"not": "an id"}},
        )
    }
    assert answers == {b'{"success": true}'}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/search?q=quillwort",
        "/v1/coverage",
        "/v1/assets?status=draft",
        "/v1/email/block?send_id=s&user_id={victim}",
        "/v1/placements",
    ],
)
def test_21_read_beside_the_profile(scene: Scene, path: str) -> None:
    scene.refused(scene.attacker.send("GET", path.format(victim=scene.victim)), "secret_key_needed")


def test_22_have_signals_judged(scene: Scene) -> None:
    event = {"type": "track", "userId": scene.victim, "event": "x"}
    scene.refused(scene.attacker.post("/v1/signals:validate", event), "secret_key_needed")


def test_23_erase_the_victim(scene: Scene) -> None:
    scene.refused(scene.attacker.send("POST", f"/v1/buyers/{scene.victim}:erase"), "secret_key_needed")


def test_24_read_another_pages_answer_with_the_browsers_help(scene: Scene) -> None:
    """No cookie counts, nothing is kept by caches, and no site may frame the answer."""
    answer = scene.ask({"anonymous_id": scene.device}, Origin="https://evil.example")
    assert "access-control-allow-credentials" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_25_learn_from_the_librarys_settings(scene: Scene, stack: Stack) -> None:
    settings = scene.attacker.send("GET", f"/v1/projects/{scene.attacker.key}/settings")
    assert settings.status == 200
    assert stack.keys["secret"] not in settings.body.decode()
    assert scene.victim not in settings.body.decode()
