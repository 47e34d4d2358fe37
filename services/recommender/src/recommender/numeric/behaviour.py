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
from recommender.domain.ranking_config import RankingConfig, load_ranking_config
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.text_space import LastUsed
from recommender.numeric.together import TogetherSettings, engaged_together

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


@dataclass(frozen=True, slots=True, eq=False)
class AlignedBehaviour:
    """Behaviour seen from one catalogue's rows.

    `popularity` float64 [N, H] decayed to `as_of`; `buyers` float64 [N] distinct buyers ever; `impressions`,
    `clicks` float64 [N]; `together_index` int32 [N], the row in `Behaviour.together` or -1. `popular_rows[h]`
    int64: living rows by popularity, best first, at most POPULAR_DEPTH; `stage_rows[s]` the same for what
    fits content stage s and is popular; `row_of_together` int64 [A'], the inverse of `together_index`.
    """

    popularity: Floats
    buyers: Floats
    impressions: Floats
    clicks: Floats
    together_index: NDArray[np.int32]
    row_of_together: NDArray[np.int64]
    popular_rows: tuple[NDArray[np.int64], ...]
    stage_rows: tuple[NDArray[np.int64], ...]


POPULAR_DEPTH = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Immutable; arrays run over `asset_ids`.

    `popularity` float64 [A, H]: buyers who engaged, each counted once, decayed with `half_lives` (seconds) to
    `as_of`. `together` float32 CSR [A', A'], A' ≤ A: how much an engagement with the row speaks for the
    column.
    """

    asset_ids: tuple[str, ...]
    index_of: Mapping[str, int]
    as_of: float
    half_lives: tuple[float, ...]
    popularity: Floats
    buyers: Floats
    impressions: Floats
    clicks: Floats
    together: sparse.csr_array
    learnt_pairs: frozenset[tuple[int, int]]  # (buyer, asset) that `learn_behaviour` counted
    added_pairs: frozenset[tuple[int, int]]  # and those counted since
    kinds: SignalKinds | None
    aligned: LastUsed[Catalogue, AlignedBehaviour] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aligned", LastUsed(self._align))

    @property
    def is_empty(self) -> bool:
        return not self.buyers.any()

    def _align(self, catalogue: Catalogue) -> AlignedBehaviour:
        index = np.full(len(catalogue), -1, dtype=np.int32)
        for asset_id, position in self.index_of.items():
            row = catalogue.row_of.get(asset_id)
            if row is not None:
                index[row] = position
        known = index >= 0
        popularity = np.zeros((len(catalogue), len(self.half_lives)))
        buyers, impressions, clicks = (np.zeros(len(catalogue)) for _ in range(3))
        popularity[known] = self.popularity[index[known]]
        buyers[known] = self.buyers[index[known]]
        impressions[known] = self.impressions[index[known]]
        clicks[known] = self.clicks[index[known]]
        orders = []
        for h in range(len(self.half_lives)):
            rows = np.flatnonzero(popularity[:, h] > 0)
            best = rows[np.lexsort((rows, -popularity[rows, h]))][:POPULAR_DEPTH]
            orders.append(best)
        living = np.flatnonzero(catalogue.alive)
        liked = 1.0 + np.log1p(buyers[living])
        stages = [
            living[np.argsort(-catalogue.stage[living, s] * liked, kind="stable")][:POPULAR_DEPTH]
            for s in range(catalogue.stage.shape[1])
        ]
        together = np.where(index < self.together.shape[0], index, -1).astype(np.int32)
        inverse = np.full(self.together.shape[0], -1, dtype=np.int64)
        inverse[together[together >= 0]] = np.flatnonzero(together >= 0)
        return AlignedBehaviour(
            popularity, buyers, impressions, clicks, together, inverse, tuple(orders), tuple(stages)
        )

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
            if engagement[kind] > 0 and pair not in self.learnt_pairs and pair not in pairs:
                pairs.add(pair)
                buyers[position] += 1
                popularity[position] += np.exp2(-(as_of - events.at[i]) / half_lives)
        return replace(
            self,
            asset_ids=tuple(index_of) if names else self.asset_ids,
            index_of=index_of,
            as_of=as_of,
            popularity=popularity,
            buyers=buyers,
            impressions=impressions,
            clicks=clicks,
            added_pairs=frozenset(pairs),
        )


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
        together=sparse.csr_array(np.zeros((0, 0), dtype=np.float32)),
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
) -> Behaviour:
    """Learn everything anew from the log up to `now`; fit for a background refresh of a million events."""
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
    return Behaviour(
        asset_ids=names,
        index_of={name: i for i, name in enumerate(names)},
        as_of=now,
        half_lives=half_lives,
        popularity=popularity,
        buyers=np.bincount(firsts.asset, minlength=len(names)).astype(np.float64),
        impressions=np.bincount(events.asset[shown], minlength=len(names)).astype(np.float64),
        clicks=np.bincount(events.asset[clicked], minlength=len(names)).astype(np.float64),
        together=engaged_together(firsts.buyer, firsts.asset, firsts.at, weights, len(names), now, settings),
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
