"""Replays a log in time order: before each first engagement, what was known and who could have been shown
what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.profile import Profile, SignalColumns
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.behaviour import Behaviour, EventTable, learn_behaviour
from recommender.numeric.fold import fold_profile
from recommender.numeric.together import TogetherSettings

DAY = 86_400.0
BACK_CATALOGUE_DAYS = 7.0
COLD_BELOW = 3


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A buyer's first engagement with an asset: everything before it is known, nothing after.

    `row` is the asset's; `engaged` int64 rows this buyer engaged with before; `profile` the buyer's;
    `behaviour` everybody's. `engagements`: how many buyers had engaged with the asset before.
    """

    buyer: int
    row: int
    now: float
    profile: Profile
    engaged: NDArray[np.int64]
    behaviour: Behaviour
    known_events: int  # so many rows of the event table come before
    engagements: int
    age_days: float

    @property
    def is_back_catalogue(self) -> bool:
        return self.age_days >= BACK_CATALOGUE_DAYS

    @property
    def is_cold(self) -> bool:
        return self.engagements < COLD_BELOW


def replay(
    catalogue: Catalogue,
    events: EventTable,
    kinds: SignalKinds,
    config: RankingConfig,
    *,
    start: float,
    end: float,
    refresh_seconds: float = DAY,
    together: TogetherSettings | None = None,
    only_back_catalogue: bool = False,
    every: int = 1,
) -> Iterator[Case]:
    """Cases in [start, end) by time; events must be by time.

    Behaviour is learnt anew every `refresh_seconds` of the log, as a service does in the background, and
    brought up to each case's time by the signals in between. A case's own signal, and others of the same
    instant that stand later in the log, are not known to it. Engagements before publication are no cases.
    With `every` above 1, only each so-manieth case is made.
    """
    engagement = np.asarray(kinds.engagement)[events.kind] * events.weight
    rows = np.array([catalogue.row_of.get(name, -1) for name in events.names], dtype=np.int64)[events.asset]
    seen: set[tuple[int, int]] = set()
    of_buyer: dict[int, list[int]] = {}
    counts = np.zeros(len(catalogue), dtype=np.int64)
    behaviour: Behaviour | None = None
    learnt_at, learnt_rows, passed = -np.inf, 0, 0
    for i in range(len(events)):
        now, buyer, row = float(events.at[i]), int(events.buyer[i]), int(rows[i])
        if now >= end:
            break
        pair = (buyer, int(events.asset[i]))
        first = engagement[i] > 0 and pair not in seen
        published = row >= 0 and catalogue.publish_at[row] <= now
        age = (now - float(catalogue.published_at[row])) / DAY if row >= 0 else 0.0
        wanted = (
            first and published and now >= start and (age >= BACK_CATALOGUE_DAYS or not only_back_catalogue)
        )
        passed += wanted
        if wanted and (passed - 1) % every == 0:
            if behaviour is None or now - learnt_at >= refresh_seconds:
                behaviour = learn_behaviour(events.rows(slice(0, i)), kinds, now, config, together, catalogue)
                learnt_at, learnt_rows = now, i
            elif learnt_rows < i:
                behaviour = behaviour.with_events(events.rows(slice(learnt_rows, i)), now)
                learnt_rows = i
            own = of_buyer.get(buyer, [])
            engaged = np.unique(rows[own]) if own else np.empty(0, dtype=np.int64)
            yield Case(
                buyer=buyer,
                row=row,
                now=now,
                profile=fold_profile(_columns(events, own), kinds, now),
                engaged=engaged[engaged >= 0],
                behaviour=behaviour,
                known_events=i,
                engagements=int(counts[row]),
                age_days=age,
            )
        of_buyer.setdefault(buyer, []).append(i)
        if first:
            seen.add(pair)
            if row >= 0:
                counts[row] += 1


def _columns(events: EventTable, rows: list[int]) -> SignalColumns:
    return SignalColumns(
        at=events.at[rows],
        kind=events.kind[rows],
        asset_ids=[events.names[a] for a in events.asset[rows]],
        weight=events.weight[rows],
        person=np.zeros(len(rows), dtype=np.int32),
    )


def candidates(catalogue: Catalogue, case: Case, *, back_catalogue: bool) -> NDArray[np.int64]:
    """int64 [K], ascending: what was published by then and this buyer had not engaged with."""
    allowed = catalogue.eligible(case.now)
    if back_catalogue:
        allowed &= catalogue.published_at <= case.now - BACK_CATALOGUE_DAYS * DAY
    allowed[case.engaged] = False
    return np.flatnonzero(allowed).astype(np.int64)
