"""Puts what somebody did into Segment messages: identities, devices, contexts and repeatable message ids."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta
from typing import Any

from sample.cast import Account, Person, Reading

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Edg/142.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/18.0 Safari/605.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile Safari/604.1",
)
LIBRARY = {"name": "analytics.js", "version": "2.11.1"}
MAILER = {"name": "letterbox", "version": "5.2.0"}
CRM = {"name": "crm-bridge", "version": "1.4.3"}


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def stable_id(*parts: object, length: int = 22) -> str:
    """An id that depends on its parts alone."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:length]


class Recorder:
    """Writes down one person's messages. Before ``identify`` they carry an anonymous id alone."""

    def __init__(self, seed: int, account: Account, person: Person, rng: random.Random) -> None:
        self.messages: list[dict[str, Any]] = []
        self.account = account
        self.person = person
        self.known_at: datetime | None = None
        self._seed = seed
        self._devices = 0
        self._rng = rng
        self.anonymous_id = ""
        self._user_agent = ""
        self.new_device()

    def new_device(self) -> None:
        """Starts a browser that we have never seen."""
        self.anonymous_id = "anon-" + stable_id(
            self._seed, self.person.user_id, "device", self._devices, length=16
        )
        self._devices += 1
        self._user_agent = self._rng.choice(BROWSERS)

    def page(self, at: datetime, name: str, url: str, *, known: bool = True) -> None:
        """A page call, as the site's own script sends it."""
        context = self._web_context(url, name)
        properties = {"name": name, "url": url, "title": name}
        self._add("page", at, known, name=name, properties=properties, context=context)

    def track(
        self, at: datetime, event: str, reading: Reading | None, *, known: bool = True, **properties: Any
    ) -> None:
        """A track call on the site. The asset is named by its id, or now and then by its address alone."""
        if reading is None:
            where = {}
        elif self._rng.random() < 0.75:
            where = {"asset_id": reading.asset_id, "url": reading.url, "title": reading.title}
        else:
            where = {"url": reading.url + self._rng.choice(("", "?utm_source=letter", "#top", "/"))}
        context = self._web_context(reading.url, reading.title) if reading else self._web_context()
        self._add("track", at, known, event=event, properties=where | properties, context=context)

    def track_email(
        self, at: datetime, event: str, campaign: str, reading: Reading | None, agent: str = ""
    ) -> None:
        """A track call from the mailing system, which knows the person and no device."""
        properties: dict[str, Any] = {"campaign": campaign}
        if reading:
            properties |= {"asset_id": reading.asset_id, "link": reading.url}
        context: dict[str, Any] = {"library": MAILER, "channel": "email"}
        if agent:
            context["userAgent"] = agent
        self._add("track", at, True, event=event, properties=properties, context=context, device=False)

    def track_crm(self, at: datetime, event: str, **properties: Any) -> None:
        """A track call from the sales system; it always names the account."""
        context = {"library": CRM, "groupId": self.account.account_id}
        self._add("track", at, True, event=event, properties=properties, context=context, device=False)

    def identify(self, at: datetime) -> None:
        """The person gives a name: identify, then group. Joins the current device to the person."""
        self.known_at = self.known_at or at
        person, account = self.person, self.account
        traits: dict[str, Any] = {
            "name": person.name,
            "email": person.email,
            "title": person.title,
            "persona": person.persona,
            "company": account.name,
            "industry": account.industry,
            "region": account.region,
            "language": account.language,
        }
        if account.kind != "buyer":
            traits |= {"relationship": account.kind}
        self._add("identify", at, True, traits=traits, context=self._web_context())
        company = {
            "name": account.name,
            "industry": account.industry,
            "employees": account.employees,
            "region": account.region,
            "website": f"https://www.{account.account_id}.example",
        }
        self._add(
            "group",
            at + timedelta(milliseconds=400),
            True,
            groupId=account.account_id,
            traits=company,
            context=self._web_context(),
        )

    def alias(self, at: datetime) -> None:
        """Tells that this device's anonymous id was the known person all along."""
        self._add("alias", at, True, previousId=self.anonymous_id, context=self._web_context(), device=False)

    def _web_context(self, url: str = "", title: str = "") -> dict[str, Any]:
        locale = {"dach": "de-DE", "uki": "en-GB", "north-america": "en-US"}[self.account.region]
        context: dict[str, Any] = {"library": LIBRARY, "userAgent": self._user_agent, "locale": locale}
        if url:
            context["page"] = {"url": url, "title": title}
        if self.known_at and self._rng.random() < 0.5:
            context["groupId"] = self.account.account_id
        return context

    def _add(self, kind: str, at: datetime, known: bool, *, device: bool = True, **fields: Any) -> None:
        identity: dict[str, str] = {}
        if known and self.known_at:
            identity["userId"] = self.person.user_id
        if device:
            identity["anonymousId"] = self.anonymous_id
        number = len(self.messages)
        head = {"type": kind, "messageId": "smp-" + stable_id(self._seed, self.person.user_id, number)}
        self.messages.append(head | identity | {"timestamp": timestamp(at)} | fields)
