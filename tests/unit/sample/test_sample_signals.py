"""The sample log is repeatable, ordered, consistent with the catalogue, and tells the stories it should."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sample.assets import SAMPLE_ROOT, load_assets
from sample.cast import load_accounts, load_readings
from sample.envelope import Recorder
from sample.signals import generate, main
from sample.story import Life

pytestmark = pytest.mark.slow  # eighteen months are written anew: five seconds
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
Message = dict[str, Any]


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return list(generate(NOW, seed=7))


@pytest.fixture(scope="module")
def assets() -> dict[str, dict[str, Any]]:
    return {asset["id"]: asset for asset in load_assets(SAMPLE_ROOT, NOW)}


def when(message: Message) -> datetime:
    return datetime.fromisoformat(message["timestamp"])


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, log: list[Message]) -> None:
    path = tmp_path / "log.ndjson.gz"
    main(["--now", NOW.isoformat(), "--seed", "7", "--out", str(path)])
    lines = "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in log)
    packed = path.read_bytes()
    assert gzip.decompress(packed) == lines.encode()
    assert packed[3:8] == bytes(5), "the archive names no file and no time"


def test_another_seed_gives_another_log(log: list[Message]) -> None:
    assert next(generate(NOW, seed=8)) != log[0]


def test_it_is_long_enough_and_ends_now(log: list[Message]) -> None:
    assert 8_000 <= len(log) <= 15_000
    assert len({message["messageId"] for message in log}) == len(log)
    times = [when(message) for message in log]
    assert times == sorted(times)
    assert NOW - timedelta(days=560) < times[0] < NOW - timedelta(days=500)
    assert NOW - timedelta(days=2) < times[-1] <= NOW


def test_every_message_says_who_and_fits_the_wire(log: list[Message]) -> None:
    for message in log:
        assert message["type"] in {"track", "page", "identify", "group", "alias"}
        assert message.get("userId") or message.get("anonymousId")
        assert len(json.dumps(message).encode()) < 32_000
        assert (message["type"] == "track") == ("event" in message)


def test_nobody_engages_with_what_does_not_exist_yet(log: list[Message], assets: dict[str, Any]) -> None:
    named = 0
    for message in log:
        asset_id = message.get("properties", {}).get("asset_id")
        if asset_id:
            named += 1
            assert assets[asset_id]["publish_at"] <= message["timestamp"]
    assert named > 5_000


def test_every_asset_has_been_read(log: list[Message], assets: dict[str, Any]) -> None:
    read = {message.get("properties", {}).get("asset_id") for message in log}
    assert set(assets) <= read


def test_all_the_events_of_the_contract_occur(log: list[Message]) -> None:
    events = Counter(message["event"] for message in log if "event" in message)
    assert set(events) == {
        "Content Viewed", "Asset Downloaded", "Webinar Registered", "Webinar Attended", "Video Watched",
        "Pricing Viewed", "Calculator Used", "Demo Requested", "Trial Started", "Meeting Held",
        "Email Opened", "Email Link Clicked", "Unsubscribed",
        "Opportunity Opened", "Opportunity Won", "Opportunity Lost",
    }  # fmt: skip
    assert (events["Opportunity Opened"], events["Opportunity Won"], events["Opportunity Lost"]) == (15, 8, 4)
    for message in log:
        if message.get("event", "").startswith("Opportunity"):
            assert message["userId"]
            assert message["context"]["groupId"]


def test_people_are_anonymous_before_they_give_their_name(log: list[Message]) -> None:
    named: set[str] = set()
    before = Counter[bool]()
    for message in log:
        if message["type"] == "identify":
            named.add(message["userId"])
            assert message["anonymousId"]
            assert message["traits"]["email"].endswith(".example")
        elif "userId" in message:
            assert message["userId"] in named
        before["userId" not in message] += 1
    assert before[True] > 1_500
    assert {message["type"] for message in log} >= {"alias", "group"}


def test_the_cast_is_as_large_as_told() -> None:
    accounts = load_accounts(SAMPLE_ROOT)
    people = [person for account in accounts for person in account.people]
    assert sum(account.kind == "buyer" for account in accounts) == 40
    assert {account.kind for account in accounts} == {"buyer", "competitor", "student"}
    assert 150 <= len(people) <= 190
    assert len({person.user_id for person in people}) == len(people)
    assert all(2 <= len(account.people) <= 8 for account in accounts if account.kind == "buyer")


def test_some_accounts_fall_silent_for_ten_months_and_come_back(log: list[Message]) -> None:
    by_account: dict[str, list[datetime]] = defaultdict(list)
    home = {person.user_id: a.account_id for a in load_accounts(SAMPLE_ROOT) for person in a.people}
    for message in log:
        if message.get("userId") in home and message.get("event") != "Email Opened":
            by_account[home[message["userId"]]].append(when(message))
    gaps = {
        name: max((later - earlier for earlier, later in pairwise(times)), default=timedelta())
        for name, times in by_account.items()
    }
    assert sum(gap > timedelta(days=290) for gap in gaps.values()) >= 4


def test_reading_moves_on_with_the_phase(log: list[Message]) -> None:
    lines = (SAMPLE_ROOT / "labels.csv").read_text(encoding="utf-8").splitlines()
    stages = dict(line.split(",") for line in lines[1:])
    accounts = load_accounts(SAMPLE_ROOT)
    home = {person.user_id: account for account in accounts for person in account.people}
    read: dict[str, Counter[str]] = defaultdict(Counter)
    for message in log:
        account = home.get(message.get("userId", ""))
        asset_id = message.get("properties", {}).get("asset_id")
        if account is None or asset_id is None:
            continue
        days_ago = (NOW - when(message)) / timedelta(days=1)
        for phase in account.phases:
            if phase.ends <= days_ago < phase.begins:
                read[phase.name][stages[asset_id]] += 1
    for phase_name in ("awareness", "consideration", "decision", "customer"):
        assert read[phase_name].most_common(1)[0][0] == phase_name


def test_the_three_sample_buyers_are_where_they_are_said_to_be(log: list[Message]) -> None:
    buyers = json.loads((SAMPLE_ROOT / "buyers.json").read_text(encoding="utf-8"))
    assert [buyer["stage"] for buyer in buyers] == ["awareness", "consideration", "decision"]
    accounts = {account.account_id: account for account in load_accounts(SAMPLE_ROOT)}
    for buyer in buyers:
        mine = [message for message in log if message.get("userId") == buyer["user_id"]]
        assert len(mine) >= 40
        assert when(mine[-1]) > NOW - timedelta(days=30)
        assert "Unsubscribed" not in {message.get("event") for message in mine}
        account = accounts[buyer["account_id"]]
        assert buyer["user_id"] in {person.user_id for person in account.people}
        assert account.phases[-1].name == buyer["stage"]


@pytest.mark.parametrize("weekday", [1, 4])
def test_the_sample_buyers_do_not_depend_on_the_day(weekday: int) -> None:
    now = NOW + timedelta(days=weekday)
    readings = load_readings(SAMPLE_ROOT, now)
    people = {p.user_id: (a, p) for a in load_accounts(SAMPLE_ROOT) for p in a.people}
    for buyer in json.loads((SAMPLE_ROOT / "buyers.json").read_text(encoding="utf-8")):
        rng = random.Random(f"7:{buyer['user_id']}")
        recorder = Recorder(7, *people[buyer["user_id"]], rng)
        Life(recorder, readings, now, rng).tell()
        assert recorder.known_at is not None
        assert len(recorder.messages) >= 40
        assert datetime.fromisoformat(recorder.messages[-1]["timestamp"]) > now - timedelta(days=30)


def test_machines_read_faster_than_people(log: list[Message]) -> None:
    crawled = [message for message in log if "bot" in message["context"].get("userAgent", "")]
    assert len(crawled) >= 200
    scanned = [message for message in log if "LinkCheck" in message["context"].get("userAgent", "")]
    assert {message["event"] for message in scanned} == {"Email Opened", "Email Link Clicked"}
