"""One asset's figures: how often it was recommended, seen and followed, to whom, and what came after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contract.base import BuyerStage, StageName
from contract.insight import AssetInsight, ShownTo, SimilarAsset, StageMove
from contract.recommendations import Tier
from recommender.domain.catalogue import Catalogue
from recommender.domain.errors import AssetNotFound
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.selection import top
from recommender.numeric.stage_filter import filter_tracks
from recommender.numeric.stage_tracks import Tracks
from recommender.service.clock import Clock
from recommender.service.estimates import StageEstimator
from recommender.service.recent_buyers import RecentBuyers
from recommender.service.replica import CatalogueReplica
from recommender.store import asset_signals, recommendation_log
from recommender.store.assets import read_head
from recommender.store.time_limits import limit_time
from servicekit.database import reading

MOST_BUYERS = 300
AFTER_DAYS = 30
_SHOWN_TO = 20
_SIMILAR = 5
# Whoever is not known yet is at the bottom with those who are aware: reading anything is no move.
_RUNGS: Mapping[BuyerStage, int] = {
    "unknown": 0,
    "awareness": 0,
    "consideration": 1,
    "decision": 2,
    "customer": 3,
}


class InsightService:
    def __init__(
        self,
        engine: sa.Engine,
        replica: CatalogueReplica,
        buyers: RecentBuyers,
        estimator: StageEstimator,
        kinds: SignalKinds,
        clock: Clock,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._replica = replica
        self._buyers = buyers
        self._estimator = estimator
        self._clock = clock
        self._engaging = [n for n, w in zip(kinds.names, kinds.engagement, strict=True) if w > 0]

    def insight(self, asset_id: str, days: int, *, people: bool) -> AssetInsight:
        """`people` False leaves out who the asset was shown to. Raises AssetNotFound."""
        now = self._clock()
        since = now - timedelta(days=days)
        with reading(self._engine) as connection:
            catalogue = self._replica.ensure(connection, *read_head(connection)).catalogue
            if asset_id not in catalogue.row_of:
                raise AssetNotFound(asset_id)
            limit_time(connection)
            shown = recommendation_log.shown_counts(connection, asset_id, since)
            buyers, accounts = recommendation_log.shown_people(connection, asset_id, since)
            counts = asset_signals.counts_by_kind(connection, asset_id, since)
            engaged = asset_signals.engaged_people(connection, asset_id, since, self._engaging)
            moves, moves_of = self._moves(connection, asset_id, since, now.timestamp())
            shown_to = self._shown_to(connection, asset_id, since) if people else None
        impressions, clicks = counts.get("impression", 0), counts.get("click", 0)
        stages: tuple[StageName, ...] = get_args(StageName)
        tiers: tuple[Tier, ...] = get_args(Tier)
        placements: Counter[str] = Counter()
        for placement, _, _, count in shown:
            placements[placement] += count
        return AssetInsight(
            id=asset_id,
            days=days,
            since=since,
            recommended=sum(count for *_, count in shown),
            buyers=buyers,
            accounts=accounts,
            impressions=impressions,
            clicks=clicks,
            click_rate=round(clicks / impressions, 4) if impressions else None,
            engaged_buyers=engaged[0],
            engaged_accounts=engaged[1],
            never_shown=not shown and not impressions,
            by_placement=dict(placements.most_common()),
            by_stage={s: sum(n for _, stage, _, n in shown if stage == s) for s in stages},
            by_tier={t: sum(n for _, _, tier, n in shown if tier == t) for t in tiers},
            stage_moves=sum(move.buyers for move in moves if _is_forward(move)),
            moves=moves,
            moves_of=moves_of,
            shown_to=shown_to,
            similar=_similar(catalogue, catalogue.row_of[asset_id]),
        )

    def _moves(
        self, connection: sa.Connection, asset_id: str, since: datetime, now: float
    ) -> tuple[tuple[StageMove, ...], int]:
        """Each buyer's own stage just before they first engaged with it, and 30 days later or now."""
        first = asset_signals.first_engagements(connection, asset_id, since, self._engaging, MOST_BUYERS)
        views = [v for v in self._buyers.views_of(connection, list(first)) if v.buyer_id is not None]
        if not views:
            return (), 0
        at = np.array([first[view.buyer_id or 0] for view in views])
        tracks = Tracks.of(self._estimator.model, [self._estimator.person_signals(view) for view in views])
        before = self._names(tracks, at - 1.0)
        after = self._names(tracks, np.minimum(at + AFTER_DAYS * 86_400.0, now))
        counts = Counter(zip(before, after, strict=True))
        moves = tuple(
            StageMove(from_stage=was, to_stage=became, buyers=count)
            for (was, became), count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        )
        return moves, len(views)

    def _names(self, tracks: Tracks, at: NDArray[np.float64]) -> list[BuyerStage]:
        return list(self._estimator.names(filter_tracks(self._estimator.model, tracks, at)))

    @staticmethod
    def _shown_to(connection: sa.Connection, asset_id: str, since: datetime) -> tuple[ShownTo, ...]:
        stages: Sequence[StageName] = get_args(StageName)
        return tuple(
            ShownTo(
                at=at,
                user_id=user_id,
                account_id=account_id,
                stage=next((s for s in stages if s == stage), None),
                placement=placement,
                rank=rank,
            )
            for at, user_id, account_id, stage, placement, rank in recommendation_log.last_shown(
                connection, asset_id, since, _SHOWN_TO
            )
        )


def _is_forward(move: StageMove) -> bool:
    before, after = _RUNGS.get(move.from_stage), _RUNGS.get(move.to_stage)
    return before is not None and after is not None and after > before


def _similar(catalogue: Catalogue, row: int) -> tuple[SimilarAsset, ...]:
    """The nearest living assets in meaning."""
    if not catalogue.has_vector[row]:
        return ()
    near = np.where(catalogue.alive & catalogue.has_vector, catalogue.vectors @ catalogue.vectors[row], -1.0)
    near[row] = -1.0
    return tuple(
        SimilarAsset(
            id=catalogue.cards[i].asset_id,
            title=catalogue.cards[i].title,
            url=catalogue.cards[i].url,
            similarity=round(min(1.0, float(near[i])), 4),
        )
        for i in top(near, _SIMILAR).tolist()
        if near[i] > 0
    )
