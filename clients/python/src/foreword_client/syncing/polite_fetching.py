"""Fetching from other people's servers: never what they forbid, never fast, never what has not changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

from servicekit.outbound import OutboundAnswer, OutboundClient, OutboundFailed, OutboundRefused

USER_AGENT = "ForewordSync/1.0"
_REDIRECTS = 5
_LONGEST_WAIT_SECONDS = 10.0
_ROBOTS_BYTES = 512 * 1024


class PageUnavailable(Exception):
    """This page could not be had; the sentence says why, and the others go on."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body with what makes the next request for it conditional; no body where it has not changed."""

    url: str
    body: bytes | None
    content_type: str
    conditions: Mapping[str, str]


class PoliteFetcher:
    """One request at a time to a host, a second or what its robots.txt asks for apart."""

    def __init__(
        self,
        client: OutboundClient,
        *,
        pause_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._pause = pause_seconds
        self._clock = clock
        self._sleep = sleep
        self._rules: dict[str, RobotFileParser] = {}
        self._next_at: dict[str, float] = {}

    def fetch(self, url: str, conditions: Mapping[str, str], max_bytes: int) -> Fetched:
        """Follow redirects, each judged anew. Raises `PageUnavailable`."""
        address = url
        for _ in range(_REDIRECTS):
            if not self._rules_of(address).can_fetch(USER_AGENT, address):
                raise PageUnavailable("robots.txt forbids it")
            answer = self._ask(address, conditions, max_bytes)
            place = answer.headers.get("location")
            if answer.status in (301, 302, 303, 307, 308) and place:
                address = urljoin(address, place)
                continue
            if answer.status == 304:
                return Fetched(address, None, "", conditions)
            if answer.status != 200:
                raise PageUnavailable(f"it answers with status {answer.status}")
            names = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
            learnt = {sent: answer.headers[name] for name, sent in names.items() if name in answer.headers}
            return Fetched(address, answer.body, answer.headers.get("content-type", ""), learnt)
        raise PageUnavailable("it redirects in circles")

    def _ask(self, url: str, conditions: Mapping[str, str], max_bytes: int) -> OutboundAnswer:
        host = urlsplit(url).netloc
        wait = self._next_at.get(host, 0.0) - self._clock()
        if wait > 0:
            self._sleep(wait)
        try:
            return self._client.request("GET", url, headers=conditions, max_bytes=max_bytes)
        except (OutboundRefused, OutboundFailed) as error:
            raise PageUnavailable(str(error)) from error
        finally:
            self._next_at[host] = self._clock() + self._pause_of(host)

    def _pause_of(self, host: str) -> float:
        rules = next((r for base, r in self._rules.items() if urlsplit(base).netloc == host), None)
        asked = rules.crawl_delay(USER_AGENT) if rules is not None else None
        return self._pause if asked is None else min(max(self._pause, float(asked)), _LONGEST_WAIT_SECONDS)

    def _rules_of(self, url: str) -> RobotFileParser:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        if base not in self._rules:
            self._rules[base] = self._read_rules(base)
        return self._rules[base]

    def _read_rules(self, base: str) -> RobotFileParser:
        """As RFC 9309 has it: no file allows all, a server that fails allows nothing."""
        rules = RobotFileParser()
        try:
            answer = self._client.request("GET", f"{base}/robots.txt", max_bytes=_ROBOTS_BYTES)
        except (OutboundRefused, OutboundFailed) as error:
            raise PageUnavailable(str(error)) from error
        self._next_at[urlsplit(base).netloc] = self._clock() + self._pause
        if answer.status == 200:
            rules.parse(answer.body.decode("utf-8", "replace").splitlines())
        elif answer.status >= 500:
            rules.parse(["User-agent: *", "Disallow: /"])
        else:
            rules.parse([])
        return rules
