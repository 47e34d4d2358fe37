"""What a firm's websites, mails and content team do in minutes: enough that every panel has something."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import urllib3
from urllib3.exceptions import HTTPError

_PLACEMENTS = ("blog-sidebar", "pricing-page", "newsletter", "default")
_CHANNELS = ("web", "web", "email", "sales")
_EVENTS = ("Content Viewed", "Asset Downloaded", "Webinar Attended", "Pricing Viewed", "Demo Requested")
_QUERIES = ("door alarms at night", "who pays for spoilt goods", "calibration", "Kühlhaus Energie")


class Load:
    """Threads that call a gateway until `stop`; `done` counts the calls by what they were.

    They pause between calls, `slower` times as long where a small machine shall not be the limit.
    """

    def __init__(
        self, url: str, key: str, users: Sequence[str], *, seed: int = 0, slower: float = 1.0
    ) -> None:
        self._url = url
        self._key = key
        self._users = list(users)
        self._rng = random.Random(seed)
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=20.0)
        self._stopping = threading.Event()
        self._assets: list[str] = []
        self._number = 0
        self.done: dict[str, int] = {}
        self.failed = 0
        self._threads = [
            threading.Thread(target=self._again, args=(step, pause * slower), daemon=True)
            for step, pause in (
                (self._recommend, 0.05),
                (self._recommend, 0.1),
                (self._act, 0.1),
                (self._write, 1.0),
                (self._read, 0.5),
                (self._nonsense, 1.0),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _again(self, step: Callable[[], None], pause: float) -> None:
        while not self._stopping.wait(pause):
            try:
                step()
                self.done[step.__name__.strip("_")] = self.done.get(step.__name__.strip("_"), 0) + 1
            except HTTPError:
                # A part may be away on purpose; the load goes on.
                self.failed += 1

    def _send(
        self, method: str, path: str, value: Any = None, *, key: str | None = None
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {key or self._key}", "Content-Type": "application/json"}
        body = None if value is None else orjson.dumps(value)
        address = path if path.startswith("http") else self._url + path
        return self._http.request(method, address, body=body, headers=headers, redirect=False)

    def _recommend(self) -> None:
        request: dict[str, Any] = {
            "user_id": self._rng.choice([*self._users, f"stranger-{self._rng.randrange(40)}"]),
            "placement": self._rng.choice(_PLACEMENTS),
            "channel": self._rng.choice(_CHANNELS),
            "count": 3,
        }
        if self._rng.random() < 0.2:
            request["context"] = {"query": self._rng.choice(_QUERIES)}
        answer = self._send("POST", "/v1/recommendations", request)
        if answer.status != 200:
            return
        document = answer.json()
        if not document["items"] or str(document["recommendation_id"]).startswith("fb_"):
            return
        said = {
            "recommendation_id": document["recommendation_id"],
            "asset_id": document["items"][0]["id"],
            "placement": request["placement"],
            "channel": request["channel"],
        }
        if self._rng.random() < 0.6:
            self._track(request["user_id"], "Recommendation Viewed", said)
        if self._rng.random() < 0.1:
            self._send("GET", document["items"][0]["click_url"])

    def _track(self, user: str, event: str, properties: dict[str, Any]) -> None:
        self._send(
            "POST",
            "/v1/track",
            {"userId": user, "event": event, "messageId": self._fresh("m"), "properties": properties},
        )

    def _act(self) -> None:
        """Readers who read on, and some who come nearer to buying with every minute."""
        user = f"visitor-{self._rng.randrange(30)}"
        choice = self._rng.random()
        if choice < 0.5:
            self._send(
                "POST",
                "/v1/page",
                {"anonymousId": user, "properties": {"url": "https://www.example.com/blog"}},
            )
        elif choice < 0.6:
            self._send(
                "POST", "/v1/identify", {"userId": user, "anonymousId": user, "traits": {"title": "Buyer"}}
            )
        elif choice < 0.65:
            self._send("POST", "/v1/group", {"userId": user, "groupId": f"firm-{self._rng.randrange(8)}"})
        else:
            properties = {"asset_id": self._rng.choice(self._assets)} if self._assets else {}
            self._track(user, self._rng.choice(_EVENTS), properties)

    def _write(self) -> None:
        asset_id = self._fresh("monitor")
        self._send(
            "PUT",
            f"/v1/assets/{asset_id}",
            {
                "title": f"Notes on cold rooms, part {self._number}",
                "body": "Doors, alarms and who hears them. " * 40,
                "url": f"https://www.example.com/{asset_id}",
                "type": "blog",
                "topics": ["cold chain"],
                "personas": ["operations"],
                "status": "approved",
            },
        )
        self._assets.append(asset_id)
        if len(self._assets) > 20:
            self._send("DELETE", f"/v1/assets/{self._assets.pop(0)}")

    def _read(self) -> None:
        self._send("GET", "/v1/search?q=" + self._rng.choice(("alarms", "energy", "audit", self._fresh("q"))))
        lines = b"\n".join(orjson.dumps({"user_id": user, "channel": "email"}) for user in self._users[:5])
        self._http.request(
            "POST",
            self._url + "/v1/recommendations:batch",
            body=lines,
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/x-ndjson"},
        )
        self._send("GET", "/v1/coverage")

    def _nonsense(self) -> None:
        """Some of everything that goes wrong elsewhere."""
        self._send(
            "POST",
            "/v1/batch",
            {"batch": [{"type": "track", "event": "No one"}, {"type": "page", "userId": "x"}]},
        )
        self._send("POST", "/v1/recommendations", {"user_id": "x"}, key="fw_sk_not_a_key")
        self._send("GET", "/v1/assets/there-is-none")

    def _fresh(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}-{int(time.time())}-{self._number}"
