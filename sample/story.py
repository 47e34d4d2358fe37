"""Tells what one member of a buying group does over the months, from its account's phases and our assets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sample.cast import Account, Person, Phase, Reading
from sample.envelope import Recorder, timestamp

SITE = "https://www.isbryn.example"
UTC_OFFSETS = {"uki": 0, "dach": 1, "north-america": -6}
# Days between two visits of an averagely keen person.
PACE = {
    "awareness": 13.0,
    "consideration": 8.0,
    "decision": 4.5,
    "customer": 17.0,
    "spying": 16.0,
    "studying": 4.0,
}
# What is read in each phase, as shares of the stages our own labels give the assets.
APPETITE = {
    "awareness": {"awareness": 0.83, "consideration": 0.14, "decision": 0.02, "customer": 0.01},
    "consideration": {"awareness": 0.28, "consideration": 0.60, "decision": 0.11, "customer": 0.01},
    "decision": {"awareness": 0.07, "consideration": 0.36, "decision": 0.56, "customer": 0.01},
    "customer": {"awareness": 0.13, "consideration": 0.05, "decision": 0.03, "customer": 0.79},
    "spying": {"awareness": 0.05, "consideration": 0.30, "decision": 0.35, "customer": 0.30},
    "studying": {"awareness": 0.80, "consideration": 0.18, "decision": 0.01, "customer": 0.01},
}
# The phase in which the person at each position of a buying group turns up.
ARRIVALS = (
    "awareness",
    "awareness",
    "consideration",
    "consideration",
    "decision",
    "decision",
    "decision",
    "decision",
)
ORDER = ("awareness", "consideration", "decision", "customer")
GATED = {"whitepaper", "ebook", "analyst_report", "buyers_guide", "implementation_guide", "security"}
DOWNLOADS = GATED | {"datasheet", "integration_docs", "comparison", "infographic"}
WEBINARS = {"webinar_thought", "webinar_product"}
SEVERAL_TIMES = {"pricing", "roi_tool", "how_to", "integration_docs", "trial"}
PLACES = (("Home", "/"), ("Products", "/products"), ("Customers", "/customers"), ("Learn", "/learn"))


class Life:
    """One person's months: ``tell`` fills the recorder with everything they do, in order of time."""

    def __init__(
        self, recorder: Recorder, readings: Sequence[Reading], now: datetime, rng: random.Random
    ) -> None:
        self._record = recorder
        self._account: Account = recorder.account
        self._person: Person = recorder.person
        self._shelves = {
            stage: [reading for reading in readings if reading.stage == stage] for stage in ORDER
        }
        self._now = now
        self._rng = rng
        self._read: Counter[str] = Counter()
        self._keenness = rng.lognormvariate(0.0, 0.45) * (1.35 if self._person.position == 0 else 0.9)
        # Some people never give their name; the champion always does, so that each account can be told apart.
        self._shy = self._person.position > 0 and rng.random() < 0.15
        own = [
            topic
            for reading in readings
            if self._person.persona in reading.personas
            for topic in reading.topics
        ]
        self._favourites = set(rng.sample(sorted(set(own)), 4))
        self._liking = {reading.asset_id: self._first_liking(reading) for reading in readings}
        self._trial_done = False

    def tell(self) -> None:
        """Goes through the phases, visit by visit."""
        arrival = self._arrival()
        second_device = self._rng.random() < 0.3
        visits = 0
        last = self._now - timedelta(days=1000)
        for phase in self._account.phases:
            if phase.name == "silent" or phase.ends >= arrival:
                continue
            day = min(phase.begins, arrival) - self._rng.random() * 0.3 * self._gap(phase)
            while day > phase.ends and day > 0:
                at = max(self._moment(day), last + timedelta(minutes=100))
                if at <= self._now:
                    self._visit(at, phase)
                    last = at
                    visits += 1
                    if visits == 12 and second_device and self._record.known_at:
                        last = at + timedelta(hours=10)
                        self._change_device(at + timedelta(hours=9))
                day -= self._rng.expovariate(1.0 / self._gap(phase))

    def _arrival(self) -> float:
        """How many days ago this person first turned up."""
        live = [phase for phase in self._account.phases if phase.name != "silent"]
        wanted = ARRIVALS[self._person.position]
        for phase in live:
            if (
                phase.name == wanted
                or phase.name not in ORDER
                or ORDER.index(phase.name) > ORDER.index(wanted)
            ):
                delay = 0.02 if self._person.position == 0 else 0.05 + 0.35 * self._rng.random()
                return phase.begins - delay * (phase.begins - phase.ends)
        late = live[-1]
        return late.begins - (0.25 + 0.5 * self._rng.random()) * (late.begins - late.ends)

    def _gap(self, phase: Phase) -> float:
        eager = self._keenness
        if ARRIVALS[self._person.position] != phase.name and self._person.position >= 2:
            eager *= 0.6
        return PACE[phase.name] / eager

    def _moment(self, day: float) -> datetime:
        """A working hour about ``day`` days ago, seldom at a weekend."""
        at = self._now - timedelta(days=day)
        # Drawn on every day, so that the story does not turn on which day of the week it is told.
        moves = self._rng.random() < 0.85
        if at.weekday() >= 5 and moves:
            at -= timedelta(days=at.weekday() - 4)
        hour = self._rng.triangular(7.0, 19.0, 10.5) - UTC_OFFSETS[self._account.region]
        start = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return start + timedelta(hours=hour, milliseconds=self._rng.randrange(1000))

    def _visit(self, at: datetime, phase: Phase) -> None:
        known = self._record.known_at is not None and self._rng.random() < 0.93
        name, path = self._rng.choice(PLACES)
        if self._rng.random() < 0.45:
            self._record.page(at, name, SITE + path, known=known)
        count = self._rng.choice((1, 1, 2, 2, 3)) + (1 if phase.name in ("decision", "studying") else 0)
        for _ in range(count):
            at += timedelta(seconds=self._rng.randrange(40, 420), milliseconds=self._rng.randrange(1000))
            reading = self._choose(at, phase)
            if reading is None or at > self._now:
                return
            nameless = self._record.known_at is None
            self._engage(at, reading, phase, known)
            self._remember(reading)
            known = known or (nameless and self._record.known_at is not None)

    def _choose(self, at: datetime, phase: Phase) -> Reading | None:
        """First a stage that suits the phase, then an asset of it, so that who has read all reads again."""
        appetite = APPETITE[phase.name]
        stage = self._rng.choices(list(appetite), list(appetite.values()))[0]
        moment = timestamp(at)
        shelf = [reading for reading in self._shelves[stage] if reading.published_at <= moment]
        if not shelf:
            return None
        return self._rng.choices(shelf, [self._liking[reading.asset_id] for reading in shelf])[0]

    def _first_liking(self, reading: Reading) -> float:
        liking = 3.0 if self._person.persona in reading.personas else 0.6
        liking *= 1.8 if self._account.industry in reading.industries else 0.5
        liking *= 1.0 if self._account.region in reading.regions else 0.25
        if reading.language != self._account.language:
            liking *= 0.35 if self._account.language == "de" else 0.01
        return liking * (1.0 + 1.2 * len(self._favourites.intersection(reading.topics)))

    def _remember(self, reading: Reading) -> None:
        """What was read is read again less gladly; some things, like prices, less so than others."""
        self._read[reading.asset_id] += 1
        self._liking[reading.asset_id] *= 0.4 if reading.kind in SEVERAL_TIMES else 0.12

    def _engage(self, at: datetime, reading: Reading, phase: Phase, known: bool) -> None:
        record = self._record
        first = self._read[reading.asset_id] == 0
        if reading.kind == "pricing":
            record.track(at, "Pricing Viewed", reading, known=known)
        elif reading.kind == "roi_tool":
            record.track(at, "Calculator Used", reading, known=known, points=self._rng.randrange(10, 400))
        elif reading.kind == "demo_video":
            share = round(min(1.0, self._rng.betavariate(2.2, 1.4)), 2)
            record.track(at, "Video Watched", reading, known=known, share=share)
        elif reading.kind in WEBINARS and first and not self._shy:
            self._webinar(at, reading)
        elif self._rng.random() < 0.2:
            record.page(at, reading.title, reading.url, known=known)
        else:
            seconds = self._rng.randrange(15, 600)
            record.track(at, "Content Viewed", reading, known=known, seconds=seconds)
        if reading.kind in DOWNLOADS and first and self._rng.random() < 0.5:
            self._download(at + timedelta(seconds=35), reading, known)
        if reading.kind == "trial" and phase.name == "decision" and self._may_try():
            self._give_name(at + timedelta(seconds=25))
            record.track(at + timedelta(seconds=26), "Trial Started", reading)
            self._trial_done = True
        if self._person.position == 0 and sum(self._read.values()) >= 3:
            self._give_name(at + timedelta(seconds=38))

    def _may_try(self) -> bool:
        hands_on = self._person.persona in ("operations", "it", "quality")
        return hands_on and not (self._trial_done or self._shy) and self._rng.random() < 0.35

    def _download(self, at: datetime, reading: Reading, known: bool) -> None:
        if reading.kind in GATED:
            if self._shy:
                return
            self._give_name(at - timedelta(seconds=2))
            known = True
        self._record.track(at, "Asset Downloaded", reading, known=known)

    def _webinar(self, at: datetime, reading: Reading) -> None:
        self._give_name(at)
        self._record.track(at + timedelta(seconds=1), "Webinar Registered", reading)
        held = (at + timedelta(days=self._rng.randrange(2, 12))).replace(hour=13, minute=0, second=0)
        held += timedelta(days=max(0, 7 - held.weekday()) if held.weekday() >= 5 else 0)
        minutes = self._rng.randrange(18, 60)
        joined = held + timedelta(seconds=self._rng.randrange(600))
        if self._rng.random() < 0.55 and joined <= self._now:
            self._record.track(joined, "Webinar Attended", reading, minutes=minutes)

    def _give_name(self, at: datetime) -> None:
        if self._record.known_at is None and at <= self._now:
            self._record.identify(at)

    def _change_device(self, at: datetime) -> None:
        """A phone in the evening, nameless at first, later joined to the person."""
        self._record.new_device()
        phase = Phase("awareness", 0.0, 0.0)
        for _ in range(self._rng.randrange(1, 4)):
            reading = self._choose(at, phase)
            if reading and at <= self._now:
                self._record.track(at, "Content Viewed", reading, known=False)
                self._remember(reading)
            at += timedelta(minutes=self._rng.randrange(2, 9))
        if at > self._now:
            return
        if self._rng.random() < 0.5:
            self._record.alias(at)
        else:
            self._record.identify(at)


def _at_hour(day: datetime, hour: int, rng: random.Random) -> datetime:
    return day.replace(hour=hour, minute=rng.randrange(60), second=rng.randrange(60), microsecond=0)


def sales_moments(
    record: Recorder, colleague: Recorder, account: Account, now: datetime, rng: random.Random
) -> None:
    """The champion asks for a demo, meets us, and the sales system follows the opportunity."""
    decision = next((phase for phase in account.phases if phase.name == "decision"), None)
    if decision is None:
        return
    opened = dict(account.moments)["opened"]
    asked = _at_hour(now - timedelta(days=decision.begins - 0.3 * (decision.begins - opened)), 8, rng)
    if record.known_at is None or record.known_at > asked:
        record.identify(asked - timedelta(minutes=4))
    record.track(asked, "Demo Requested", None, url=f"{SITE}/demo-request", note="please call in the morning")
    span = decision.begins - decision.ends
    for number in range(3 if span < 50 else 5):
        at = _at_hour(asked + timedelta(days=3 + number * 0.85 * (span - 5) / 5), 12, rng)
        if at < now:
            record.track_crm(
                at, "Meeting Held", minutes=rng.choice((30, 45, 60)), form=rng.choice(("video", "on site"))
            )
            if number and colleague.known_at and colleague.known_at < at:
                colleague.track_crm(at + timedelta(seconds=1), "Meeting Held", minutes=45, form="video")
    deal: dict[str, Any] = {
        "opportunity_id": f"opp-{account.account_id}",
        "amount": account.amount,
        "currency": "EUR",
    }
    names = {"opened": "Opportunity Opened", "won": "Opportunity Won", "lost": "Opportunity Lost"}
    for name, days in account.moments:
        record.track_crm(_at_hour(now - timedelta(days=days), 15, rng), names[name], **deal)
