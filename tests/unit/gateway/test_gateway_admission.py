"""Whose a request is, before anything is done for it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gateway.admission_rules import rules
from gateway.keys import KeyKind
from servicekit.admission import Admission, Admitted, Head
from unit.gateway.gateway_fixtures import Gateway


def _head(authorization: str = "", query: str = "", path: str = "/v1/recommendations") -> Head:
    return Head("POST", path, query, authorization)


def test_a_key_is_one_caller_however_it_is_sent(gateway: Gateway) -> None:
    caller_of = rules(gateway.parts.keys).caller_of
    text = gateway.add_key(KeyKind.SECRET, "recommend")
    key = gateway.parts.keys.find(text)
    basic = b64encode(f"{text}:".encode()).decode()
    for head in (
        _head(f"Bearer {text}"),
        _head(f"bearer  {text} "),
        _head(f"Basic {basic}"),
        _head(query=f"writeKey={text}"),
    ):
        assert caller_of(head) == key.key_id


@pytest.mark.parametrize("head", [_head(), _head("Negotiate x"), _head("Basic %"), _head(query="writeKey=")])
def test_who_sends_no_key_in_the_head_is_nobody_yet(gateway: Gateway, head: Head) -> None:
    assert rules(gateway.parts.keys).caller_of(head) is None


def test_keys_that_somebody_makes_up_take_nothing_from_a_true_one(gateway: Gateway) -> None:
    admission = Admission(
        rules(gateway.parts.keys), threads=8, most_wait_seconds=1, slow_seconds=1, clock=lambda: 1.0
    )
    made_up = [admission.enter(_head(f"Bearer fw_sk_{n}"), 0.0) for n in range(100)]
    assert sum(isinstance(one, Admitted) for one in made_up) == 8
    for one in made_up:
        if isinstance(one, Admitted):
            admission.leave(one)
    true = [admission.enter(_head(f"Bearer {gateway.secret}"), 0.0) for _ in range(6)]
    assert all(isinstance(one, Admitted) for one in true)
    assert admission.enter(_head("Bearer fw_sk_again"), 0.0) != "share", "they have a part, and one only"
