"""Callers for a drill: websites, tracking clients and readers of mails, and what each of them saw."""

from __future__ import annotations

import gzip
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
import urllib3
from urllib3.exceptions import HTTPError

Verdict = Literal["good", "degraded", "blank", "refused", "wrong"]
_PAUSE_SECONDS = 0.04
_BATCH = 20
_TIMEOUT = urllib3.Timeout(connect=2.0, read=15.0)
PLACEMENTS = ("blog-sidebar", "newsletter", "home")


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer as its caller judged it; `at` and `seconds` are monotonic."""

    what: str
    at: float
    seconds: float
    verdict: Verdict
    detail: str = ""
    items: tuple[str, ...] = ()


@dataclass(slots=True)
class Callers:
    """Threads that call the gateways in turn, as behind a load balancer that leaves out one that is gone."""

    urls: Sequence[str]
    key: str
    seen: list[Seen] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=16, retries=False, timeout=_TIMEOUT)
    )
    _links: dict[str, str] = field(default_factory=dict)
    _ready: tuple[str, ...] = ()

    def __enter__(self) -> Callers:
        self._look()
        signals = (self._signal, self._signal, self._batch)
        for work in (self._known, self._stranger, *signals, self._click, self._probe):
            thread = threading.Thread(target=self._repeat, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def since(self, moment: float) -> list[Seen]:
        return [one for one in list(self.seen) if one.at >= moment]

    def _repeat(self, work: Callable[[int], None]) -> None:
        while not self._stopping.is_set():
            work(next(self._numbers))
            self._stopping.wait(_PAUSE_SECONDS)

    def _probe(self, _: int) -> None:
        """As a load balancer does: a gateway that is not ready gets no calls."""
        self._look()
        self._stopping.wait(0.2)

    def _look(self) -> None:
        self._ready = tuple(url for url in self.urls if self._is_ready(url))

    def _is_ready(self, url: str) -> bool:
        try:
            return self._pool.request("GET", f"{url}/readyz", timeout=1.0).status == 200
        except HTTPError:
            return False

    def _known(self, number: int) -> None:
        self._recommend({"user_id": f"drill-{number % 20}", "placement": PLACEMENTS[number % 3]})

    def _stranger(self, number: int) -> None:
        self._recommend({"anonymous_id": f"nobody-{number}", "placement": PLACEMENTS[number % 3]})

    def _recommend(self, asked: Mapping[str, Any]) -> None:
        began = time.monotonic()
        answer = self._send("POST", "/v1/recommendations", {**asked, "count": 3})
        verdict: Verdict = "wrong"
        items: tuple[str, ...] = ()
        if answer is not None and answer.status == 200:
            document = orjson.loads(answer.data)
            items = tuple(item["id"] for item in document["items"])
            verdict = "blank" if not items else "degraded" if document["meta"]["degraded"] else "good"
            if items:
                self._links["last"] = document["items"][0]["click_url"]
        self._note("recommendation", began, verdict, answer, items)

    def _signal(self, number: int) -> None:
        self._track("/v1/track", _events(number, 1)[0])

    def _batch(self, number: int) -> None:
        """As tracking clients send what has gathered: many events, packed."""
        self._track("/v1/batch", {"batch": _events(number, _BATCH)})

    def _track(self, path: str, body: Mapping[str, Any]) -> None:
        began = time.monotonic()
        answer = self._send("POST", path, body, packed=path == "/v1/batch")
        verdict: Verdict = "wrong"
        if answer is not None:
            if answer.status == 200 and answer.data == b'{"success": true}':
                verdict = "good"
                self.acknowledged += [event["messageId"] for event in body.get("batch", [body])]
            elif answer.status in (429, 503) and answer.headers.get("Retry-After", "").isdigit():
                verdict = "refused"  # its client waits and sends it again
        self._note("signal", began, verdict, answer)

    def _click(self, number: int) -> None:
        link = self._links.get("last")
        if link is None or number % 3:
            return
        began = time.monotonic()
        answer = self._send("GET", urlsplit(link).path, None)
        good = answer is not None and answer.status == 302 and "Location" in answer.headers
        self._note("click", began, "good" if good else "wrong", answer)

    def _note(
        self,
        what: str,
        began: float,
        verdict: Verdict,
        answer: urllib3.BaseHTTPResponse | None,
        items: tuple[str, ...] = (),
    ) -> None:
        detail = "no answer" if answer is None else str(answer.status)
        self.seen.append(Seen(what, began, time.monotonic() - began, verdict, detail, items))

    def _send(
        self, method: str, path: str, value: Mapping[str, Any] | None, *, packed: bool = False
    ) -> urllib3.BaseHTTPResponse | None:
        """The first ready gateway that answers, each tried once."""
        headers = {"Content-Type": "application/json"}
        body = None if value is None else orjson.dumps(value)
        if packed and body is not None:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        if method == "POST":
            headers["Authorization"] = f"Bearer {self.key}"
        first = next(self._numbers)
        ready = self._ready or tuple(self.urls)
        for turn in range(len(ready)):
            url = ready[(first + turn) % len(ready)]
            try:
                return self._pool.request(
                    method,
                    url + path,
                    body=body,
                    headers=headers,
                    redirect=False,
                )
            except HTTPError:
                continue
        return None


def _events(number: int, count: int) -> list[dict[str, Any]]:
    made = time.time_ns()
    return [
        {
            "type": "track",
            "userId": f"drill-{(number + place) % 20}",
            "event": "Content Viewed",
            "messageId": f"drill-{number}-{made}-{place}",
        }
        for place in range(count)
    ]
