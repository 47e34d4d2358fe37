"""The load of a chaos run: tracking clients that retry, editors, imports, erasures, and readers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from foreword_dev.chaos.ledger import Answer, Erasure, Ledger, SentSignal

BUYERS = 40
ASSETS = 120
_FIRST_ASSETS = 20
IMPORT_BLOCKS, IMPORTED = 12, 80
# A write without an answer may still be carried out: nobody writes to the same asset while it may.
_OPEN_SECONDS = 40.0
EVENTS = ("Asset Downloaded", "Content Viewed", "Content Shared", "Webinar Attended", "Recommendation Viewed")
_TOPICS = ("doors", "audits", "energy", "probes", "alarms", "fleets")
_ANSWER_SECONDS = 5.0
_SUCCESS = b'{"success": true}'


class Load:
    """Threads that call through the gateways in turn; entering starts them, leaving lets them finish."""

    def __init__(self, gateways: tuple[str, ...], key: str, ledger: Ledger, seed: int) -> None:
        self._gateways = gateways
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._ledger = ledger
        self._seed = seed
        self._pool = urllib3.PoolManager(maxsize=24, retries=False)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._away: dict[str, float] = {}
        self._open_until: dict[str, float] = {}

    def __enter__(self) -> Load:
        self._fill(random.Random(f"{self._seed}-first"))
        work: list[tuple[str, Callable[[random.Random, int], None], float]] = [
            ("signals-1", self._signals, 0.03),
            ("signals-2", self._signals, 0.03),
            ("editor", self._edit, 0.06),
            ("importer", self._import, 0.5),
            ("eraser", self._erase, 0.7),
            ("reader-1", self._read, 0.03),
            ("reader-2", self._read, 0.03),
        ]
        for number, (name, step, pause) in enumerate(work):
            rng = random.Random(f"{self._seed}-{name}")
            thread = threading.Thread(target=self._repeat, args=(name, step, rng, pause, number), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(
        self,
        name: str,
        step: Callable[[random.Random, int], None],
        rng: random.Random,
        pause: float,
        number: int,
    ) -> None:
        count = 0
        while not self._stopping.is_set():
            try:
                step(rng, count * 10 + number)
            except Exception as error:  # noqa: BLE001 - told in the report: a load that stops proves nothing
                self._ledger.surprises.append(f"the load's {name}: {type(error).__name__}: {error}")
            count += 1
            self._stopping.wait(pause)

    def _fill(self, rng: random.Random) -> None:
        """A catalogue that is empty has nothing to show, and that is no fault."""
        for number in range(_FIRST_ASSETS):
            asset_id = f"asset-{number}"
            title = _title(rng, asset_id, 0)
            tried = self._ledger.trying(asset_id, title)
            body = orjson.dumps(_asset(asset_id, title))
            for _ in range(20):
                status, _data = self._send("PUT", f"/v1/assets/{asset_id}", body, 15.0)
                if status in (200, 201):
                    self._ledger.settle(asset_id, tried)
                    break
                time.sleep(0.5)

    # What tracking clients do: they keep a message until its success came, and send it again.
    def _signals(self, rng: random.Random, number: int) -> None:
        signals = [self._signal(rng, f"s-{self._seed}-{number}-{n}") for n in range(rng.choice((1, 1, 1, 8)))]
        for one in signals:
            self._ledger.signals[one.message_id] = one
        self._deliver(signals)
        if rng.random() < 0.1:  # a client that did not hear its success
            self._ledger.duplicates_sent += len(signals)
            self._deliver(signals, again=True)

    def _signal(self, rng: random.Random, message_id: str) -> SentSignal:
        buyer = rng.randrange(BUYERS)
        chance = rng.random()
        stamp = None
        if rng.random() < 0.7:  # a day of the past; else the moment of arrival
            stamp = (datetime.now(UTC) - timedelta(minutes=rng.randrange(60, 60 * 24 * 50))).isoformat()
        asset_id = f"asset-{rng.randrange(ASSETS)}"
        user, anonymous = f"buyer-{buyer}", f"visitor-{buyer}"
        if chance < 0.04:
            return SentSignal(message_id, user, anonymous, "identify", None, stamp)
        if chance < 0.3:
            return SentSignal(message_id, None, anonymous, rng.choice(EVENTS), asset_id, stamp)
        return SentSignal(message_id, user, None, rng.choice(EVENTS), asset_id, stamp)

    def _deliver(self, signals: list[SentSignal], *, again: bool = False) -> None:
        if len(signals) == 1:
            one = signals[0]
            path = "/v1/identify" if one.event == "identify" else "/v1/track"
            body: dict[str, Any] = _call(one)
        else:
            path, body = "/v1/batch", {"batch": [_call(one) for one in signals]}
        # After the end of the load it goes on a little, as clients do.
        deadline = time.monotonic() + 90.0
        while time.monotonic() < deadline:
            for one in signals:
                one.tries += 1
            status, data = self._send("POST", path, orjson.dumps(body), 15.0)
            if status == 200 and data == _SUCCESS:
                now = time.monotonic()
                for one in signals:
                    one.acknowledged_at = one.acknowledged_at or now
                    if one.event == "identify":
                        self._ledger.merges.add((str(one.user_id), str(one.anonymous_id)))
                return
            if status not in (0, 429, 503):
                self._ledger.surprises.append(f"{path} answered {status}: {data[:300]!r}")
                if status == 400 or not again:
                    return
            if self._stopping.wait(0.25 + 0.25 * min(4, signals[0].tries)) and signals[0].tries > 3:
                return

    def _edit(self, rng: random.Random, number: int) -> None:
        asset_id = f"asset-{rng.randrange(ASSETS)}"
        if self._is_open(asset_id):
            return
        path = f"/v1/assets/{quote(asset_id)}"
        if rng.random() < 0.12:
            tried = self._ledger.trying(asset_id, None)
            status, data = self._send("DELETE", path, None, 15.0)
            done = status in (204, 404)
        else:
            title = _title(rng, asset_id, number)
            tried = self._ledger.trying(asset_id, title)
            status, data = self._send("PUT", path, orjson.dumps(_asset(asset_id, title)), 15.0)
            done = status in (200, 201)
        if done:
            self._ledger.settle(asset_id, tried)
            return
        self._open_until[asset_id] = time.monotonic() + _OPEN_SECONDS
        if status not in (0, 429, 503):
            self._ledger.surprises.append(f"an asset's write answered {status}: {data[:300]!r}")

    def _import(self, rng: random.Random, number: int) -> None:
        """Rows of assets that nobody else writes; what was answered must be there."""
        block = rng.randrange(IMPORT_BLOCKS)
        if self._is_open(f"block-{block}"):
            return
        ids = [f"imported-{block}-{n}" for n in range(IMPORTED)]
        titles = {asset_id: _title(rng, asset_id, number) for asset_id in ids}
        tried = {asset_id: self._ledger.trying(asset_id, title) for asset_id, title in titles.items()}
        lines = [orjson.dumps({"id": i, **_asset(i, title)}) for i, title in titles.items()]
        url = self._url()
        self._ledger.importing.set()
        try:
            response = self._pool.request(
                "POST",
                url + "/v1/assets:import",
                body=b"\n".join(lines) + b"\n",
                headers={**self._headers, "Content-Type": "application/x-ndjson"},
                timeout=urllib3.Timeout(connect=2.0, read=30.0),
                preload_content=False,
            )
            rest, answered = b"", 0
            for chunk in response.stream(2048):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    row = orjson.loads(line) if line.strip() else {}
                    if row.get("result") in ("stored", "unchanged"):
                        self._ledger.settle(row["id"], tried[row["id"]])
                        answered += 1
            response.release_conn()
            broken = answered < len(ids)
        except (HTTPError, OSError, orjson.JSONDecodeError):
            broken = True  # under our hands: rows without an answer may be there or not
        finally:
            self._ledger.importing.clear()
        if broken:
            self._ledger.unanswered += 1
            self._open_until[f"block-{block}"] = time.monotonic() + _OPEN_SECONDS

    def _is_open(self, what: str) -> bool:
        return self._open_until.get(what, 0.0) > time.monotonic()

    def _erase(self, rng: random.Random, number: int) -> None:
        user_id = f"leaving-{self._seed}-{number}"
        erasure = self._ledger.erasures[user_id] = Erasure(user_id)
        ids = [f"e-{user_id}-{n}" for n in range(3)]
        signals = [SentSignal(i, user_id, None, rng.choice(EVENTS), "asset-1", None) for i in ids]
        self._deliver(signals)
        asked = 0
        while erasure.acknowledged_at is None:
            status, _data = self._send("POST", f"/v1/buyers/{user_id}:erase", b"", 15.0)
            if status == 404 and not asked:
                return  # none of the signals has come: there is nobody to erase
            asked += 1
            # A 404 after one without an answer: that one has done it.
            if status in (200, 404):
                erasure.acknowledged_at = time.monotonic()
            elif self._stopping.wait(0.5) or asked > 40:
                return
        if erasure.acknowledged_at is not None:
            self._deliver(signals)  # a replay, acknowledged and thrown away

    def _read(self, rng: random.Random, number: int) -> None:
        body: dict[str, Any] = {"count": 5, "placement": rng.choice(("sidebar", "home", "newsletter"))}
        if rng.random() < 0.6:
            body["user_id"] = f"buyer-{rng.randrange(BUYERS)}"
        else:
            body["anonymous_id"] = f"stranger-{number}"
        began = time.monotonic()
        status, data, first = self._read_once(orjson.dumps(body))
        wrong, degraded = "", False
        if status == 200:
            document = orjson.loads(data)
            degraded = document["meta"]["degraded"]
            shown = [item["id"] for item in document["items"]]
            gone = [asset_id for asset_id in shown if self._ledger.gone_before(asset_id, began)]
            if gone:
                wrong = f"showed {gone[0]}, which was deleted"
            elif not shown:
                wrong = "was blank"
        elif status:
            wrong = f"answered {status}: {data[:200]!r}"
        seconds = time.monotonic() - began
        self._ledger.answers.append(Answer(began, seconds, status == 200, first, degraded, wrong))

    def _read_once(self, body: bytes) -> tuple[int, bytes, bool]:
        """One request, sent once more to another gateway when the line breaks: what a balancer does."""
        status, data = self._send("POST", "/v1/recommendations", body, _ANSWER_SECONDS)
        if status:
            return status, data, status == 200
        return *self._send("POST", "/v1/recommendations", body, _ANSWER_SECONDS), False

    def _url(self) -> str:
        """A gateway in turn, without one that did not take the last connection of the last second."""
        now = time.monotonic()
        near = [url for url in self._gateways if self._away.get(url, 0.0) < now]
        return random.choice(near or list(self._gateways))

    def _send(self, method: str, path: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
        """→ (status, body); 0 when there was no answer."""
        url = self._url()
        try:
            response = self._pool.request(
                method,
                url + path,
                body=body,
                headers=self._headers,
                timeout=urllib3.Timeout(connect=1.0, read=seconds),
            )
        except (HTTPError, OSError):
            self._away[url] = time.monotonic() + 0.5
            self._ledger.unanswered += 1
            return 0, b""
        if response.status in (429, 503):
            self._ledger.refused += 1
        return response.status, response.data


def _call(one: SentSignal) -> dict[str, Any]:
    found: dict[str, Any] = {"messageId": one.message_id}
    if one.user_id is not None:
        found["userId"] = one.user_id
    if one.anonymous_id is not None:
        found["anonymousId"] = one.anonymous_id
    if one.timestamp is not None:
        found["timestamp"] = one.timestamp
    if one.event == "identify":
        return {"type": "identify", **found, "traits": {"title": "Head of Operations"}}
    return {"type": "track", **found, "event": one.event, "properties": {"asset_id": one.asset_id}}


def _title(rng: random.Random, asset_id: str, number: int) -> str:
    return f"{rng.choice(_TOPICS)} and {rng.choice(_TOPICS)} for {asset_id}, edition {number}"


def _asset(asset_id: str, title: str) -> dict[str, Any]:
    return {"title": title, "url": f"https://www.example.com/{asset_id}"}
