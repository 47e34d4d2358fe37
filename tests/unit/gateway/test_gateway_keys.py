"""Keys: how they are made, found, and kept when their database is away."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.keys import (
    KeptKeys,
    KeyInvalid,
    KeyKind,
    KeyRing,
    MemoryKeySource,
    make_key,
    token_is_valid,
    user_token,
)
from gateway.keys.model import normalise_origin
from gateway.keys.ring import KeySnapshot
from gateway.metrics import GatewayMetrics
from servicekit.errors import Unavailable
from servicekit.metrics import Metrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ring_over(
    source: MemoryKeySource, clock: list[float] | None = None, kept: KeptKeys | None = None
) -> KeyRing:
    time = clock or [0.0]
    metrics = GatewayMetrics.create(Metrics.create("gateway", "test"))
    return KeyRing(source, metrics=metrics, refresh_seconds=1.0, kept=kept, clock=lambda: time[0])


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


def test_a_gateway_that_starts_without_the_database_knows_the_keys_of_before(tmp_path: Path) -> None:
    text, stored = make_key(KeyKind.PUBLISHABLE, name="site", origins=["https://a.example"], now=NOW)
    source = MemoryKeySource([stored])
    file = tmp_path / "made" / "keys.json"
    ring_over(source, kept=KeptKeys(file, clock=lambda: NOW)).refresh()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert text.encode() not in file.read_bytes()

    source.away = True
    ring = ring_over(source, kept=KeptKeys(file, clock=lambda: NOW + timedelta(minutes=59)))
    ring.refresh()
    assert ring.find(text) == stored
    assert ring.find(text + "x") is None
    assert ring.project_secret == source.project_secret
    assert ring.is_stale

    source.away, source.keys = False, []
    ring.refresh()
    assert ring.find(text) is None
    assert not ring.is_stale
    assert KeptKeys(file, clock=lambda: NOW + timedelta(minutes=59)).last() == KeySnapshot((), b"0" * 32)


@pytest.mark.parametrize("later", [timedelta(hours=1, seconds=1), timedelta(seconds=-1)])
def test_keys_that_were_kept_too_long_ago_or_by_a_wrong_clock_open_nothing(
    tmp_path: Path, later: timedelta
) -> None:
    text, stored = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    source, file = MemoryKeySource([stored]), tmp_path / "keys.json"
    ring_over(source, kept=KeptKeys(file, clock=lambda: NOW)).refresh()
    source.away = True
    ring = ring_over(source, kept=KeptKeys(file, clock=lambda: NOW + later))
    ring.refresh()
    with pytest.raises(Unavailable):
        ring.find(text)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"format":2}', b'{"read_at":"2026-01-01T00:00:00","keys":[]}']
)
def test_a_file_of_keys_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    assert KeptKeys(file, clock=lambda: NOW, given_secret=b"1" * 32).last() is None


def test_a_secret_out_of_the_settings_is_not_written_down(tmp_path: Path) -> None:
    file, given = tmp_path / "keys.json", b"a secret that is given to it, 32"
    kept = KeptKeys(file, clock=lambda: NOW, given_secret=given)
    kept.keep(KeySnapshot((), given))
    assert b"null" in file.read_bytes()
    assert kept.last() == KeySnapshot((), given)
    assert KeptKeys(file, clock=lambda: NOW).last() is None


def test_keys_are_written_when_they_change_and_once_a_minute(tmp_path: Path) -> None:
    file, now = tmp_path / "keys.json", [NOW]
    kept = KeptKeys(file, clock=lambda: now[0])

    def writes(snapshot: KeySnapshot) -> bool:
        file.write_bytes(b"")
        kept.keep(snapshot)
        return file.stat().st_size > 0

    _, key = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    assert writes(KeySnapshot((), b"0" * 32))
    assert not writes(KeySnapshot((), b"0" * 32))
    assert writes(KeySnapshot((key,), b"0" * 32))
    now[0] += timedelta(seconds=61)
    assert writes(KeySnapshot((key,), b"0" * 32))
    assert os.listdir(tmp_path) == ["keys.json"]


def test_a_folder_that_cannot_be_written_costs_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    text, stored = make_key(KeyKind.SECRET, name="crm", scopes=["signals"], now=NOW)
    ring = ring_over(
        MemoryKeySource([stored]), kept=KeptKeys(tmp_path / "file" / "keys.json", clock=lambda: NOW)
    )
    ring.refresh()
    assert ring.find(text) == stored


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
