"""A made-up market to judge stage estimates on: buying committees with a hidden readiness that nobody
observes.

Written apart from the stage model and sharing none of its code or constants. Readiness of an account
rises along a slanted S over a log-normal cycle, with stalls; it decides how often bursts of activity come
and what is in them. Committees grow as readiness does; part of what people do is lost to tracking; some
accounts read a lot and never buy, some give up on the way. Times are days from the start of the
simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# What people can do: (event, type of asset or None, appeal at no readiness, slope, bend). An action's share
# within
# a burst is a softmax of appeal + slope·r + bend·r². Hands are raised (trial, demo, meeting) close to the end
# only: it is
# what makes a salesperson open an opportunity.
ACTIONS: tuple[tuple[str, str | None, float, float, float], ...] = (
    ("Email Opened", None, 1.6, 0.0, 0.0),
    ("Email Link Clicked", None, 0.1, 0.4, 0.0),
    ("Content Viewed", "blog", 1.9, 0.6, -1.4),
    ("Content Viewed", "whitepaper", 0.4, 2.2, -2.4),
    ("Asset Downloaded", "whitepaper", -1.0, 3.0, -3.1),
    ("Asset Downloaded", "buyers_guide", -2.6, 4.4, -3.4),
    ("Asset Downloaded", "datasheet", -2.4, 3.0, -0.8),
    ("Content Viewed", "case_study", -1.2, 3.0, -1.2),
    ("Content Viewed", "comparison", -2.2, 3.6, -1.5),
    ("Product Viewed", None, -0.4, 2.4, -0.6),
    ("Pricing Viewed", None, -2.4, 1.8, 2.6),
    ("Documentation Viewed", None, -2.4, 1.4, 2.6),
    ("Webinar Registered", None, -1.4, 1.8, -1.3),
    ("Webinar Attended", "webinar_thought", -1.7, 2.0, -1.9),
    ("Webinar Attended", "webinar_product", -3.2, 3.9, -1.6),
    ("Video Watched", None, -1.4, 1.4, -0.6),
    ("Calculator Used", None, -3.8, 3.0, 0.3),
    ("Chat Started", None, -3.6, 2.6, 0.2),
    ("Brand Searched", None, -1.7, 1.9, -0.2),
    ("Trial Started", None, -6.0, 2.4, 4.2),
    ("Demo Requested", None, -7.0, 1.8, 8.0),
    ("Meeting Held", None, -7.2, 1.4, 9.0),
    ("Careers Viewed", None, -1.2, -0.9, 0.0),
    ("Unsubscribed", None, -3.4, -0.8, 0.0),
)
OPENING = 0.78
"""Readiness, give or take, at which the sales system learns of an opportunity."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedAccount:
    """Signals by time: `at` float64 [S] days, `action` int64 [S] into ACTIONS, `person` int64 [S].

    `opened_at`, `closed_at` in days or inf; `won`. `readiness` float64 [days + 1], one a day.
    """

    at: Floats
    action: NDArray[np.int64]
    person: NDArray[np.int64]
    opened_at: float
    closed_at: float
    won: bool
    readiness: Floats
    kind: str  # buyer | reader | quiet


def simulate_market(accounts: int, days: int, rng: np.random.Generator) -> list[SimulatedAccount]:
    """`accounts` independent accounts over `days`; about a third start a purchase at some time, a fifth
    read only.
    """
    return [_account(days, rng) for _ in range(accounts)]


def _account(days: int, rng: np.random.Generator) -> SimulatedAccount:
    kind = str(rng.choice(["buyer", "reader", "quiet"], p=[0.45, 0.20, 0.35]))
    readiness = _readiness(kind, days, rng)
    opened_at, closed_at, won = np.inf, np.inf, False
    if kind == "buyer":
        ready = np.flatnonzero(readiness >= OPENING + rng.normal(0.0, 0.05))
        if len(ready):
            opened_at = float(ready[0]) + float(rng.uniform(0.0, 20.0))
            closed_at = opened_at + float(rng.lognormal(np.log(80.0), 0.5))
            won = bool(rng.random() < 0.32)
            if closed_at < days:
                after = np.arange(int(closed_at), days + 1)
                readiness[after] = 0.15 if won else 0.25 * np.exp(-(after - closed_at) / 120.0)
    at, action, person = _activity(kind, readiness, days, rng)
    return SimulatedAccount(at, action, person, opened_at, closed_at, won, readiness, kind)


def _readiness(kind: str, days: int, rng: np.random.Generator) -> Floats:
    t = np.arange(days + 1, dtype=np.float64)
    floor = float(rng.beta(1.2, 14.0))
    if kind == "quiet":
        return np.full(days + 1, floor)
    if kind == "reader":  # interested for the subject's sake: up and down, never there
        waves = 0.16 * np.sin(t / rng.uniform(40.0, 110.0) + rng.uniform(0.0, 6.3))
        return np.clip(floor + rng.uniform(0.12, 0.34) + waves, 0.0, 0.6)
    begin = float(rng.uniform(-260.0, days - 60.0))
    length = float(rng.lognormal(np.log(330.0), 0.45))
    clock = np.clip(t - begin, 0.0, None)
    for _ in range(int(rng.poisson(0.6))):  # a budget freeze, a reorganisation: the clock stands still
        stall = float(rng.uniform(0.15, 0.85)) * length
        clock = np.where(clock > stall, np.maximum(stall, clock - rng.uniform(30.0, 190.0)), clock)
    way = np.clip(clock / length, 0.0, 1.0)
    slant = float(rng.uniform(1.3, 2.4))
    readiness = floor + (1.0 - floor) * way**slant
    if rng.random() < 0.25:  # gives up on the way
        end = begin + float(rng.uniform(0.3, 0.9)) * length
        peak = readiness[int(np.clip(end, 0, days))]
        readiness = np.where(t > end, floor + (peak - floor) * np.exp(-(t - end) / 70.0), readiness)
    return np.clip(readiness, 0.0, 1.0)


def _activity(
    kind: str, readiness: Floats, days: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    committee = int(np.clip(np.round(rng.lognormal(np.log(5.0), 0.35)), 3, 10))
    eager = float(rng.lognormal(0.0, 0.55)) * (1.7 if kind == "reader" else 1.0)
    kept = rng.beta(5.0, 2.5, size=committee)  # the share of each person's doings that tracking catches
    joins = np.sort(rng.beta(1.3, 1.6, size=committee)) * 0.7
    joins[0] = 0.0
    appeal, slope, bend = (np.array([a[i] for a in ACTIONS], dtype=np.float64) for i in (2, 3, 4))
    taste = rng.normal(0.0, 0.5, size=len(ACTIONS))
    at: list[float] = []
    action: list[int] = []
    person: list[int] = []
    t = 0.0
    while True:
        now = float(readiness[min(int(t), days)])
        # Bursts come every seven weeks or so to the cold, every four or five days to the ready: a committee
        # then
        # does a few dozen things each over a purchase, as surveys of buyers have it.
        t += float(rng.exponential(1.0 / (eager * (0.02 + 0.2 * now))))
        if t >= days:
            break
        r = float(readiness[int(t)])
        present = np.flatnonzero(joins <= r + 0.05)
        people = rng.choice(present, size=min(len(present), 1 + int(rng.poisson(1.2 * r))), replace=False)
        share = np.exp(appeal + slope * r + bend * r * r + taste)
        share /= share.sum()
        for _ in range(1 + int(rng.geometric(0.42))):
            who = int(rng.choice(people))
            if rng.random() < kept[who]:
                at.append(min(t + float(rng.exponential(1.6)), days - 1e-3))
                action.append(int(rng.choice(len(ACTIONS), p=share)))
                person.append(who)
    order = np.argsort(at, kind="stable")
    return (
        np.array(at, dtype=np.float64)[order],
        np.array(action, dtype=np.int64)[order],
        np.array(person, dtype=np.int64)[order],
    )


def hidden_stage(readiness: float, *, customer: bool) -> str:
    """The word for a readiness, for the truth file; an estimate never sees it."""
    if customer:
        return "customer"
    if readiness < 0.12:
        return "unaware"
    return "awareness" if readiness < 0.4 else "consideration" if readiness < 0.68 else "decision"


def opened_within(accounts: Sequence[SimulatedAccount], now: float, days: float) -> NDArray[np.bool_]:
    """bool [accounts]: an opportunity opens in (now, now + days]."""
    opened = np.array([a.opened_at for a in accounts])
    return (opened > now) & (opened <= now + days)
