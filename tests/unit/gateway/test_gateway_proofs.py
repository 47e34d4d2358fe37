"""Proofs in tracking bodies: a token counts for its own user and for nobody else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.keys import user_token
from gateway.proofs import proven_users

SECRET = b"x" * 32


def told(user: object, token: object) -> dict[str, Any]:
    return {"userId": user, "anonymousId": "a", "context": {"user_token": token}}


def test_each_event_proves_its_own_user() -> None:
    mine, theirs = user_token(SECRET, "mine"), user_token(SECRET, "theirs")
    assert proven_users(orjson.dumps(told("mine", mine)), SECRET) == ("mine",)
    batch = [told("mine", mine), told("victim", mine), told("theirs", theirs), told("mine", mine)]
    assert proven_users(orjson.dumps({"batch": batch}), SECRET) == ("mine", "theirs")
    shared = {"context": {"user_token": mine}, "batch": [{"userId": "mine"}, {"userId": "victim"}]}
    assert proven_users(orjson.dumps(shared), SECRET) == ("mine",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"userId": "u"}',
        b'{"user_token": ',
        b'["user_token"]',
        orjson.dumps(told("u", None)),
        orjson.dumps(told("u", "")),
        orjson.dumps(told("u", ["x"])),
        orjson.dumps(told(5, "x")),
        orjson.dumps(told(None, "x")),
        orjson.dumps({"batch": ["user_token", None, {"context": "user_token", "userId": "u"}]}),
    ],
)
def test_what_is_no_proof_proves_nothing(body: bytes) -> None:
    assert proven_users(body, SECRET) == ()
