"""What the log of all buyers says of the assets: how popular, how often clicked, and which are engaged
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_reader import load_ranking_config
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.kindred import Kindred, learn_kindred, no_kindred
from recommender.numeric.link_learning import learn_links
from recommender.numeric.linked import Linked, no_links
from recommender.numeric.text_space import Kept
from recommender.numeric.together import TogetherSettings, engaged_together, walked_to

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class EventTable:
    """Signals of all buyers as columns, in any order.

    `buyer` int64 [M], any number that tells buyers apart; `asset` int32 [M], index into `names` or -1; `at`
    float64 [M], epoch seconds; `kind` int16 [M], index into SignalKinds.names; `weight` float64 [M], 0 for
    bots.
    """

    buyer: NDArray[np.int64]
    asset: NDArray[np.int32]
    names: tuple[str, ...]
    at: Floats
    kind: NDArray[np.int16]
    weight: Floats

    def __len__(self) -> int:
        return len(self.at)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> EventTable:
        """The same columns for some of the rows."""
        return EventTable(
            self.buyer[chosen],
            self.asset[chosen],
            self.names,
            self.at[chosen],
            self.kind[chosen],
            self.weight[chosen],
        )


class AlignedBehaviour:
    """Behaviour seen from one catalogue's rows.

    `popularity` float64 [N, H] decayed to `as_of`; `buyers` float64 [N] distinct buyers ever;
    `impressions`, `clicks` float64 [N]; `index` int32 [N], the position in `Behaviour.asset_ids` or -1;
    `together_index` int32 [N], the row in `Behaviour.together` or -1, and `row_of_together` int64 [A'],
    its inverse; `taste` float32 [N, F], where the assets lie among like-minded readers, zeros where unknown.
    """

    def __init__(self, behaviour: Behaviour, catalogue: Catalogue, index: NDArray[np.int32]) -> None:
        known = index >= 0
        n, own = len(catalogue), index[known]
        self.popularity = np.zeros((n, len(behaviour.half_lives)))
        self.buyers, self.impressions, self.clicks = np.zeros(n), np.zeros(n), np.zeros(n)
        self.popularity[known] = behaviour.popularity[own]
        self.buyers[known] = behaviour.buyers[own]
        self.last_engaged_at = np.full(n, -np.inf)
        self.last_engaged_at[known] = behaviour.last_engaged_at[own]
        self.impressions[known] = behaviour.impressions[own]
        self.clicks[known] = behaviour.clicks[own]
        self.index = index
        size = behaviour.together.shape[0]
        self.together_index = np.where(index < size, index, -1).astype(np.int32)
        self.row_of_together = np.full(size, -1, dtype=np.int64)
        self.row_of_together[self.together_index[self.together_index >= 0]] = np.flatnonzero(
            self.together_index >= 0
        )
        taste = behaviour.kindred.assets
        placed = known & (index < len(taste))
        self.taste = np.zeros((n, taste.shape[1]), dtype=np.float32)
        self.taste[placed] = taste[index[placed]]
        self._catalogue = catalogue
        self._orders: dict[tuple[str, int], NDArray[np.int64]] = {}

    def popular_rows(self, h: int) -> NDArray[np.int64]:
        """Rows by popularity at half-life h, best first, at most POPULAR_DEPTH, none that nobody engaged
        with.
        """
        if ("popular", h) not in self._orders:
            rows = np.flatnonzero(self.popularity[:, h] > 0)
            best = rows[np.lexsort((rows, -self.popularity[rows, h]))][:POPULAR_DEPTH]
            self._orders[("popular", h)] = best.astype(np.int64)
        return self._orders[("popular", h)]

    def stage_rows(self, stage: int) -> NDArray[np.int64]:
        """Living rows by fit to a content stage, those that many engaged with first, at most
        POPULAR_DEPTH.
        """
        if ("stage", stage) not in self._orders:
            living = np.flatnonzero(self._catalogue.alive)
            worth = self._catalogue.stage[living, stage] * (1.0 + np.log1p(self.buyers[living]))
            best = living[np.argsort(-worth, kind="stable")][:POPULAR_DEPTH]
            self._orders[("stage", stage)] = best.astype(np.int64)
        return self._orders[("stage", stage)]


POPULAR_DEPTH = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Immutable; arrays run over `asset_ids`.

    `popularity` float64 [A, H]: buyers who engaged, each counted once, decayed with `half_lives` (seconds) to
    `as_of`. `together` float32 CSR [A', A'], A' ≤ A: how much an engagement with the row speaks for the
    column; `walk` likewise, by a walk over the graph of buyers and assets; `linked` by a linear model of all
    engagements and the texts.
    """

    asset_ids: tuple[str, ...]
    index_of: Mapping[str, int]
    as_of: float
    half_lives: tuple[float, ...]
    popularity: Floats
    buyers: Floats
    impressions: Floats
    clicks: Floats
    last_engaged_at: Floats
    together: sparse.csr_array
    walk: sparse.csr_array
    linked: Linked
    kindred: Kindred
    learnt_pairs: frozenset[tuple[int, int]]  # (buyer, asset) that `learn_behaviour` counted
    added_pairs: frozenset[tuple[int, int]]  # and those counted since
    kinds: SignalKinds | None
    _aligned: Kept[Catalogue, AlignedBehaviour] = field(init=False, default_factory=Kept)
    _places: Kept[Catalogue, NDArray[np.int32]] = field(init=False, default_factory=Kept)

    def _place(self, catalogue: Catalogue) -> NDArray[np.int32]:
        """int32 [N]: the position of each living row's asset, -1 where nothing is known of it."""
        index = np.full(len(catalogue), -1, dtype=np.int32)
        for asset_id, row in catalogue.row_of.items():
            index[row] = self.index_of.get(asset_id, -1)
        return index

    @property
    def is_empty(self) -> bool:
        return not self.buyers.any()

    def aligned(self, catalogue: Catalogue) -> AlignedBehaviour:
        """The same as seen from a catalogue's rows; made once for each of the two latest catalogues."""
        return self._aligned.of(catalogue, self._align)

    def _align(self, catalogue: Catalogue) -> AlignedBehaviour:
        return AlignedBehaviour(self, catalogue, self._places.of(catalogue, self._place))

    def with_events(self, events: EventTable, now: float) -> Behaviour:
        """Popularity, impressions and clicks brought up to `now` by new events; `together` stays as it was.

        Cheap enough to call every few seconds between two full `learn_behaviour`. Events must be new ones.
        """
        if self.kinds is None:
            raise ValueError("an empty behaviour learns from learn_behaviour first")
        index_of = self.index_of
        names = [
            n for n in dict.fromkeys(events.names[c] for c in events.asset if c >= 0) if n not in index_of
        ]
        if names:
            index_of = dict(index_of) | {name: len(index_of) + i for i, name in enumerate(names)}
        grown = len(index_of)
        half_lives = np.asarray(self.half_lives)
        as_of = max(now, self.as_of)

        def grow(old: Floats) -> Floats:
            new = np.zeros((grown, *old.shape[1:]))
            new[: len(old)] = old
            return new

        popularity = grow(self.popularity) * np.exp2(-(as_of - self.as_of) / half_lives)
        buyers, impressions, clicks = grow(self.buyers), grow(self.impressions), grow(self.clicks)
        last = np.full(grown, -np.inf)
        last[: len(self.last_engaged_at)] = self.last_engaged_at
        fresh: list[tuple[int, int, float]] = []
        engagement = np.asarray(self.kinds.engagement)
        impression, click = self.kinds.index("impression"), self.kinds.index("click")
        pairs = set(self.added_pairs)
        for i in np.argsort(events.at, kind="stable"):
            if events.asset[i] < 0 or events.weight[i] <= 0 or events.at[i] > now:
                continue
            position = index_of[events.names[events.asset[i]]]
            kind = int(events.kind[i])
            impressions[position] += kind == impression
            clicks[position] += kind == click
            pair = (int(events.buyer[i]), position)
            if engagement[kind] > 0:
                last[position] = max(last[position], events.at[i])
            if engagement[kind] > 0 and pair not in self.learnt_pairs and pair not in pairs:
                pairs.add(pair)
                fresh.append((*pair, float(events.at[i])))
                buyers[position] += 1
                popularity[position] += np.exp2(-(as_of - events.at[i]) / half_lives)
        grown_to = replace(
            self,
            asset_ids=tuple(index_of) if names else self.asset_ids,
            index_of=index_of,
            as_of=as_of,
            popularity=popularity,
            buyers=buyers,
            impressions=impressions,
            clicks=clicks,
            last_engaged_at=last,
            kindred=self.kindred.with_recent(
                np.array([f[0] for f in fresh], dtype=np.int64),
                np.array([f[1] for f in fresh], dtype=np.int32),
                np.array([f[2] for f in fresh]),
            ),
            added_pairs=frozenset(pairs),
        )
        if not names:  # the same assets stand in the same places
            object.__setattr__(grown_to, "_places", self._places)
        return grown_to


def empty_behaviour(config: RankingConfig | None = None) -> Behaviour:
    """What is known before the first signal: nothing."""
    half_lives = (config or load_ranking_config()).popularity_half_lives
    none = np.empty(0)
    return Behaviour(
        asset_ids=(),
        index_of={},
        as_of=0.0,
        half_lives=half_lives,
        popularity=np.empty((0, len(half_lives))),
        buyers=none,
        impressions=none,
        clicks=none,
        last_engaged_at=none,
        together=sparse.csr_array(np.zeros((0, 0), dtype=np.float32)),
        walk=sparse.csr_array(np.zeros((0, 0), dtype=np.float32)),
        linked=no_links(),
        kindred=no_kindred(),
        learnt_pairs=frozenset(),
        added_pairs=frozenset(),
        kinds=None,
    )


def first_engagements(events: EventTable, kinds: SignalKinds, now: float) -> tuple[EventTable, Floats]:
    """Each buyer's first engagement with each asset, up to `now`, by time; and the weight of all they did
    [E].
    """
    engagement = np.asarray(kinds.engagement)[events.kind] * events.weight
    rows = np.flatnonzero((engagement > 0) & (events.asset >= 0) & (events.at <= now))
    rows = rows[np.lexsort((events.asset[rows], events.buyer[rows], events.at[rows]))]
    _, people = np.unique(events.buyer[rows], return_inverse=True)
    pair = people.astype(np.int64) * max(1, len(events.names)) + events.asset[rows]
    _, first, which = np.unique(pair, return_index=True, return_inverse=True)
    total = np.bincount(which, weights=engagement[rows], minlength=len(first)).astype(np.float64)
    order = np.argsort(first, kind="stable")
    return events.rows(rows[first[order]]), total[order]


def learn_behaviour(
    events: EventTable,
    kinds: SignalKinds,
    now: float,
    config: RankingConfig | None = None,
    together: TogetherSettings | None = None,
    catalogue: Catalogue | None = None,
    links: bool = True,
) -> Behaviour:
    """Learn everything anew from the log up to `now`; fit for a background refresh of a million events. Where
    a catalogue is given, its texts take part in what is `linked`; without `links` nothing is.
    """
    half_lives = (config or load_ranking_config()).popularity_half_lives
    firsts, weights = first_engagements(events, kinds, now)
    names = events.names
    popularity = np.empty((len(names), len(half_lives)))
    for h, half_life in enumerate(half_lives):
        decayed = np.exp2(-(now - firsts.at) / half_life)
        popularity[:, h] = np.bincount(firsts.asset, weights=decayed, minlength=len(names))
    heard = (events.asset >= 0) & (events.weight > 0) & (events.at <= now)
    shown = heard & (events.kind == kinds.index("impression"))
    clicked = heard & (events.kind == kinds.index("click"))
    settings = together or TogetherSettings()
    engaged = heard & (np.asarray(kinds.engagement)[events.kind] > 0)
    last = np.full(len(names), -np.inf)
    np.maximum.at(last, events.asset[engaged], events.at[engaged])
    return Behaviour(
        asset_ids=names,
        index_of={name: i for i, name in enumerate(names)},
        as_of=now,
        half_lives=half_lives,
        popularity=popularity,
        buyers=np.bincount(firsts.asset, minlength=len(names)).astype(np.float64),
        impressions=np.bincount(events.asset[shown], minlength=len(names)).astype(np.float64),
        clicks=np.bincount(events.asset[clicked], minlength=len(names)).astype(np.float64),
        last_engaged_at=last,
        kindred=learn_kindred(firsts.buyer, firsts.asset, firsts.at, weights, len(names), now),
        together=engaged_together(firsts.buyer, firsts.asset, firsts.at, weights, len(names), now, settings),
        walk=walked_to(firsts.buyer, firsts.asset, firsts.at, len(names), settings),
        linked=learn_links(firsts.buyer, firsts.asset, names, catalogue, now) if links else no_links(),
        learnt_pairs=frozenset(zip(firsts.buyer.tolist(), firsts.asset.tolist(), strict=True)),
        added_pairs=frozenset(),
        kinds=kinds,
    )


def event_table(
    buyers: Sequence[int], asset_ids: Sequence[str | None], at: Sequence[float], kind: Sequence[int]
) -> EventTable:
    """A table from plain sequences, all of weight 1; codes are given in order of first appearance."""
    codes: dict[str, int] = {}
    asset = [-1 if a is None else codes.setdefault(a, len(codes)) for a in asset_ids]
    return EventTable(
        np.asarray(buyers, dtype=np.int64),
        np.asarray(asset, dtype=np.int32),
        tuple(codes),
        np.asarray(at, dtype=np.float64),
        np.asarray(kind, dtype=np.int16),
        np.ones(len(at)),
    )
