"""Keys: how they are made, found, and kept when their database is away."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from gateway.keys import KeyInvalid, KeyKind, KeyRing, MemoryKeySource, make_key, token_is_valid, user_token
from gateway.keys.model import normalise_origin
from gateway.metrics import GatewayMetrics
from servicekit.errors import Unavailable
from servicekit.metrics import Metrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ring_over(source: MemoryKeySource, clock: list[float] | None = None) -> KeyRing:
    time = clock or [0.0]
    metrics = GatewayMetrics.create(Metrics.create("gateway", "test"))
    return KeyRing(source, metrics=metrics, refresh_seconds=1.0, clock=lambda: time[0])


def test_a_key_is_stored_only_as_its_digest() -> None:
    text, stored = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    assert text.startswith("fw_sk_")
    assert len(text) == len("fw_sk_") + 43  # 32 random bytes in base64url
    assert stored.digest == hashlib.sha256(text.encode()).digest()
    assert text not in repr(stored)


@pytest.mark.parametrize(
    ("kind", "name", "scopes", "origins"),
    [
        (KeyKind.SECRET, "x", [], []),
        (KeyKind.SECRET, "x", ["everything"], []),
        (KeyKind.SECRET, "x", ["signals"], ["https://a.example"]),
        (KeyKind.PUBLISHABLE, "x", ["signals"], []),
        (KeyKind.PUBLISHABLE, " ", [], []),
        (KeyKind.PUBLISHABLE, "x", [], ["a.example"]),
        (KeyKind.PUBLISHABLE, "x", [], ["https://a.example/path"]),
        (KeyKind.PUBLISHABLE, "x", [], ["https://a.example:port"]),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    kind: KeyKind, name: str, scopes: list[str], origins: list[str]
) -> None:
    with pytest.raises(KeyInvalid):
        make_key(kind, name=name, scopes=scopes, origins=origins, now=NOW)


def test_origins_are_kept_as_browsers_write_them() -> None:
    assert normalise_origin("HTTPS://Www.Example.com:443/") == "https://www.example.com"
    assert normalise_origin("http://localhost:3000") == "http://localhost:3000"


def test_a_user_token_is_the_hmac_of_the_id() -> None:
    secret = b"s" * 32
    expected = hmac.new(secret, "zoë".encode(), hashlib.sha256).hexdigest()
    assert user_token(secret, "zoë") == expected
    assert token_is_valid(secret, "zoë", expected)
    assert not token_is_valid(secret, "zoe", expected)
    assert not token_is_valid(secret, "zoë", "é")


def test_the_last_known_keys_go_on_working_without_the_database() -> None:
    text, stored = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    source = MemoryKeySource([stored])
    ring = ring_over(source)
    with pytest.raises(Unavailable):
        ring.find(text)
    ring.refresh()
    source.away = True
    ring.refresh()
    assert ring.find(text) == stored
    assert ring.is_stale
    source.away = False
    source.keys = []
    ring.refresh()
    assert ring.find(text) is None
    assert not ring.is_stale


def test_last_use_is_written_at_most_once_a_minute() -> None:
    _, stored = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    source, clock = MemoryKeySource([stored]), [0.0]
    ring = ring_over(source, clock)
    ring.refresh()
    ring.used(stored)
    clock[0] = 59.0
    ring.refresh()
    assert source.used == {}
    clock[0] = 61.0
    ring.refresh()
    assert list(source.used) == [stored.key_id]


def test_admin_holds_every_scope_and_a_publishable_key_none() -> None:
    _, admin = make_key(KeyKind.SECRET, name="a", scopes=["admin"], now=NOW)
    _, browser = make_key(KeyKind.PUBLISHABLE, name="b", now=NOW)
    assert admin.may("buyers:write")
    assert not browser.may("signals")
