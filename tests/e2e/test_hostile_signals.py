"""Input made to hurt: bombs, floods, broken text, wrong clocks, forged links, stolen keys."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psutil
import pytest

from e2e.foreword_process import Answer, Api
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

MEBIBYTE = 1024 * 1024
_BOMB_MEBIBYTES = 5 * 1024
_ALLOWED_GROWTH = 64 * MEBIBYTE


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """5 GB of zeros as 5 MB of gzip: one packed block again and again, which is a stream like any other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * _BOMB_MEBIBYTES + b"\x03\x00" + bytes(8)


def resident(stack: Stack) -> int:
    """Bytes of memory that gateway and recommender hold now, each with its workers."""
    wanted = {stack.settings.gateway.service, stack.settings.recommender.service}
    found: set[psutil.Process] = set()
    for connection in psutil.net_connections("tcp"):
        port = connection.laddr[1] if len(connection.laddr) > 1 else None
        if connection.status == psutil.CONN_LISTEN and port in wanted and connection.pid:
            process = psutil.Process(connection.pid)
            found |= {process, *process.children(recursive=True)}
    return sum(process.memory_info().rss for process in found)


@pytest.fixture
def bounded_memory(stack: Stack) -> Iterator[None]:
    before = resident(stack)
    assert before > 0
    yield
    assert resident(stack) - before < _ALLOWED_GROWTH


def packed(api: Api, path: str, body: bytes) -> Answer:
    return api.send("POST", path, body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})


BOMBED = ("batch", "t", "m", "recommendations", "recommendations:batch", "cloudevents", "signals:validate")


@pytest.mark.parametrize("path", [*BOMBED, "opportunities:import"])
def test_a_bomb_of_five_gigabytes_is_a_413(api: Api, bomb: bytes, path: str, bounded_memory: None) -> None:
    assert len(bomb) < 6 * MEBIBYTE
    started = time.monotonic()
    answer = packed(api, f"/v1/{path}", bomb)
    assert answer.status == 413, answer.body[:300]
    # Inflating all of it would take ten times as long.
    assert time.monotonic() - started < 20


def test_ten_thousand_tiny_events_are_all_stored(api: Api, bounded_memory: None) -> None:
    who = f"flood-{uuid.uuid4().hex[:8]}"
    events = [{"type": "track", "userId": who, "event": "x"} for _ in range(10_000)]
    for number, event in enumerate(events):
        event["messageId"] = f"{who}-{number}"
    assert api.post("/v1/batch", {"batch": events}).body == b'{"success": true}'
    assert api.post("/v1/batch", {"batch": events}).body == b'{"success": true}'
    assert api.send("GET", f"/v1/buyers/{who}").json()["signal_count"] == 10_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"userId": "a\xff\xfe", "event": "x"}',
        b'{"userId": "\xed\xa0\x80", "event": "x"}',
        b'{"userId": "u", "event": "\xc0\xaf"}',
        "{}".encode("utf-16"),
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"a":' * 30_000,
    ],
)
def test_broken_text_is_a_400_and_no_answer_repeats_it(api: Api, body: bytes) -> None:
    for path in ("/v1/track", "/v1/batch"):
        answer = api.send("POST", path, body, {"Content-Type": "application/json"})
        assert answer.status in (400, 413), answer.body
        answer.body.decode()


def test_half_a_surrogate_does_not_spoil_its_batch(api: Api) -> None:
    who = f"half-{uuid.uuid4().hex[:8]}"
    events = (
        b'{"type":"track","userId":"' + who.encode() + b'","event":"good"}',
        b'{"type":"track","userId":"' + who.encode() + b'","event":"a\\ud800b"}',
        b'{"type":{},"userId":"' + who.encode() + b'","event":"x"}',
        b'{"type":"track","userId":"' + who.encode() + b'","event":"nul \\u0000"}',
    )
    for body in (b'{"batch":[' + b",".join(events) + b"]}", b'{"batch":[' + b",".join(events[2:]) + b"]}"):
        answer = api.send("POST", "/v1/batch", body)
        assert answer.status in (200, 400), answer.body  # orjson refuses half a pair with the whole body
    assert api.post("/v1/track", {"userId": who, "event": "good"}).status == 200
    assert api.send("GET", f"/v1/buyers/{who}").json()["signal_count"] >= 1


@pytest.mark.parametrize("skew", [timedelta(days=365), timedelta(days=-365)])
def test_a_clock_that_is_a_year_off_is_put_right(api: Api, skew: timedelta) -> None:
    who = f"skew-{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC)
    event = {
        "userId": who,
        "event": "Pricing Viewed",
        "originalTimestamp": (now + skew - timedelta(hours=3)).isoformat(),
        "sentAt": (now + skew).isoformat(),
    }
    assert api.post("/v1/track", event).status == 200
    (signal,) = api.send("GET", f"/v1/buyers/{who}:export").json()["signals"]
    happened = datetime.fromisoformat(signal["at"])
    assert abs(happened - (now - timedelta(hours=3))) < timedelta(seconds=10)
    told = api.post("/v1/signals:validate", {**event, "type": "track"}).json()["events"][0]
    assert abs(told["clock"]["corrected_seconds"] + skew.total_seconds()) < 10


def test_a_time_to_come_is_no_later_than_now(api: Api) -> None:
    who = f"future-{uuid.uuid4().hex[:8]}"
    later = (datetime.now(UTC) + timedelta(days=365)).isoformat()
    assert api.post("/v1/track", {"userId": who, "event": "x", "timestamp": later}).status == 200
    (signal,) = api.send("GET", f"/v1/buyers/{who}:export").json()["signals"]
    assert datetime.fromisoformat(signal["at"]) <= datetime.now(UTC) + timedelta(seconds=1)


def shown(api: Api) -> dict[str, Any]:
    """A recommended asset with its click link."""
    api.put_asset("hostile-target", status="approved")
    asked = {"anonymous_id": f"clicker-{uuid.uuid4().hex[:8]}", "count": 1}
    (item,) = api.post("/v1/recommendations", asked).json()["items"]
    found: dict[str, Any] = item
    return found


def test_a_forged_click_link_leads_nowhere(api: Api, stack: Stack) -> None:
    """Every byte of a real token, changed; and tokens that somebody made up."""
    item = shown(api)
    token = item["click_url"].rpartition("/")[2]
    anyone = Api(stack.url, None)
    real = anyone.send("GET", f"/c/{token}")
    assert (real.status, real.headers["location"]) == (302, item["url"])
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = [raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :] for i in range(0, len(raw), 7)]
    forged += [raw[:-1], raw + b"\x00", b"", b"\x01" + bytes(40), b"https://evil.example/"]
    for made in forged:
        answer = anyone.send("GET", "/c/" + base64.urlsafe_b64encode(made).decode().rstrip("="))
        assert answer.status == 404
        assert "location" not in answer.headers


SUFFIXES = (
    "?url=https://evil.example",
    "?next=//evil.example",
    "//evil.example",
    "%0d%0aLocation:%20https://evil.example",
    "/../../https://evil.example",
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_link_of_ours_leads_to_a_strangers_site(api: Api, stack: Stack, suffix: str) -> None:
    item = shown(api)
    token = item["click_url"].rpartition("/")[2]
    answer = Api(stack.url, None).send("GET", f"/c/{token}{suffix}")
    assert "evil.example" not in answer.headers.get("location", "")
    assert answer.headers.get("location") in (None, item["url"])


def test_a_key_stolen_from_a_page_is_of_no_use_on_another(stack: Stack) -> None:
    """`foreword keys create` binds a publishable key to its origins; the browser says where a page is."""
    made = subprocess.run(
        [sys.executable, "-m", "servicekit.cli", "keys", "create", "--kind", "publishable", "--name", "bound",
         "--origin", "https://www.example.com", "--database-url", stack.database_url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    key = next(word for word in made.stdout.split() if word.startswith("fw_pk_"))
    thief = Api(stack.url, key)
    deadline = time.monotonic() + 10
    own = {"Origin": "https://www.example.com", "Content-Type": "application/json"}
    while thief.send("POST", "/v1/t", b'{"anonymousId":"a","event":"x"}', own).status != 200:
        assert time.monotonic() < deadline, "the key is not known to the gateway"
        time.sleep(0.2)
    strange = ("https://evil.example", "null", "https://www.example.com.evil.example", "http://www.example.com",
               "https://www.example.com:444", "https://user@www.example.com@evil.example", "")  # fmt: skip
    for origin in strange:
        for path, body in (("/v1/t", b'{"anonymousId":"a","event":"x"}'), ("/v1/recommendations", b"{}")):
            answer = thief.send("POST", path, body, {**own, "Origin": origin})
            assert (answer.status, answer.json()["code"]) == (403, "origin_not_allowed"), origin
    without = thief.send("POST", "/v1/t", b'{"anonymousId":"a","event":"x"}')
    assert without.status == 403


def test_a_client_that_never_ends_its_request_holds_nobody_up(api: Api, stack: Stack) -> None:
    """Twenty connections that send a head and no body, and one that asks meanwhile."""
    held = []
    try:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", stack.settings.gateway.service), timeout=5)
            connection.sendall(b"POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Le")
            held.append(connection)
        assert api.post("/v1/recommendations", {"anonymous_id": "patient"}).status == 200
    finally:
        for connection in held:
            connection.close()


def test_an_event_as_a_form_is_read_as_json(api: Api) -> None:
    """Browsers send JSON under such a type, to save a preflight."""
    who = f"form-{uuid.uuid4().hex[:8]}"
    body = orjson.dumps({"userId": who, "event": "x"})
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "image/png", ""):
        headers = {"Content-Type": content_type} if content_type else {}
        assert api.send("POST", "/v1/t", body, headers).status == 200
    assert api.send("GET", f"/v1/buyers/{who}").json()["signal_count"] == 4
