"""Wrong clocks and wrong keys: a clear problem each time, nothing lost, never a 5xx."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from e2e.foreword_process import Api, metric, wait_until
from e2e.problems import JSON, problem
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]


def test_a_signal_from_the_future_is_kept_and_does_no_harm(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat().replace("+00:00", "Z")
    assert (
        api.track("future", "Content Viewed", timestamp=later, properties={"asset_id": "pricing"}).status
        == 200
    )
    found = api.send("GET", "/v1/buyers/future")
    assert found.status == 200
    assert "pricing" in found.body.decode()
    assert api.recommended(user_id="future")


def test_a_time_that_is_none_goes_to_the_dead_letters_and_not_further(api: Api, stack: Stack) -> None:
    port = stack.settings.recommender.metrics
    before = metric(port, "foreword_recommender_dead_letters_total")
    batch = [
        {"type": "track", "userId": "times", "event": "Content Viewed", "timestamp": "half past nine"},
        {"type": "track", "event": "nobody did this"},
        "no event at all",
        {"type": "track", "userId": "times", "event": "Pricing Viewed"},
    ]
    assert api.post("/v1/batch", {"batch": batch}).body == b'{"success": true}'
    assert metric(port, "foreword_recommender_dead_letters_total") >= before + 2
    assert "pricing" in api.send("GET", "/v1/buyers/times").body.decode().lower()


def test_an_asset_of_the_future_is_not_shown_yet(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat().replace("+00:00", "Z")
    assert api.put_asset("tomorrow", publish_at=later).status in (200, 201)
    assert "tomorrow" not in api.recommended(user_id="reader", count=50)


def made_key(stack: Stack, *scopes: str) -> tuple[str, str]:
    """→ (key, its id)"""
    scope_options = [part for scope in scopes for part in ("--scope", scope)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "servicekit.cli",
            "keys",
            "create",
            "--name",
            "test",
            "--json",
            *scope_options,
        ],
        env={**os.environ, "DATABASE_URL": stack.database_url},
        capture_output=True,
        check=True,
    )
    made = orjson.loads(done.stdout)
    return made["key"], made["key_id"]


def test_no_key_and_a_wrong_key(api: Api) -> None:
    for key, code in ((None, "key_missing"), ("fw_sk_" + "x" * 43, "key_unknown"), ("ä", "key_unknown")):
        client = Api(api.url, None)
        headers = {**JSON, **({"Authorization": f"Bearer {key}".encode().decode("latin-1")} if key else {})}
        answer = client.send("POST", "/v1/recommendations", b'{"user_id": "u"}', headers)
        assert problem(answer, 401)["code"] == code
        assert key is None or key not in answer.body.decode()


def test_a_revoked_key_is_refused_within_two_seconds(api: Api, stack: Stack) -> None:
    key, key_id = made_key(stack, "recommend")
    client = Api(api.url, key)
    asked = {"user_id": "u", "count": 1}
    wait_until(lambda: client.post("/v1/recommendations", asked).status == 200, 3, "a new key works")
    subprocess.run(
        [sys.executable, "-m", "servicekit.cli", "keys", "revoke", key_id],
        env={**os.environ, "DATABASE_URL": stack.database_url},
        check=True,
    )
    wait_until(
        lambda: client.post("/v1/recommendations", asked).status == 401, 2.5, "a revoked key is refused"
    )
    assert problem(client.post("/v1/recommendations", asked), 401)["code"] == "key_revoked"


def test_a_missing_scope(api: Api, stack: Stack) -> None:
    key, _ = made_key(stack, "recommend")
    client = Api(api.url, key)
    wait_until(lambda: client.post("/v1/recommendations", {"user_id": "u"}).status == 200, 3, "the key works")
    assert problem(client.put_asset("by-a-stranger"), 403)["code"] == "scope_missing"
    assert problem(client.track("u", "x"), 403)["code"] == "scope_missing"
    assert problem(client.send("GET", "/v1/buyers/u"), 403)["code"] == "scope_missing"
    problem(api.get_asset("by-a-stranger"), 404)


def test_a_publishable_key_learns_nothing_of_a_person(api: Api, stack: Stack) -> None:
    client = Api(api.url, stack.keys["publishable"])
    problem(client.post("/v1/recommendations", {"user_id": "adaeze.nwosu"}), 401, 403, 422)
    answer = client.post("/v1/recommendations", {"anonymous_id": "visitor"})
    assert answer.status == 200
    for hidden in ("score", "evidence", "distribution", "confidence"):
        assert f'"{hidden}":' not in answer.body.decode()
    problem(client.send("GET", "/v1/buyers/adaeze.nwosu"), 403)
