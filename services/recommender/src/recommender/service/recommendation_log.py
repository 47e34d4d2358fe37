"""Remembers what was shown, off the answer's path: noted in memory, written in blocks a moment later.

What was noted since the last write is lost when the process is killed, and when the database stays away for
so long that the queue is full. Signals may then quote a `recommendation_id` without a row; nothing depends on
it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import Counter

from recommender.domain.answers import AnswerRecord, content_stage, topics_of, weaknesses
from recommender.domain.catalogue import Catalogue
from recommender.domain.ranking_request import RankedAnswer, RankRequest
from recommender.numeric.score_terms import FIT
from recommender.store import recommendation_log as store
from recommender.store.partitions import Partitions
from servicekit import logs

MOST_WAITING = 20_000
_BLOCK = 2_000
_FALLBACK_TIERS = frozenset({"popular", "static"})


@dataclass(frozen=True, slots=True, eq=False)
class NotedAnswer:
    """An answer as it was made; the row is worked out later, when nobody waits for it."""

    at: datetime
    recommendation_id: str
    channel: str
    ranking: str
    degraded: bool
    identity_id: int | None
    account_id: int | None
    asked: RankRequest
    answer: RankedAnswer
    catalogue: Catalogue


class RecommendationLog:
    """`note` costs an append; `flush` writes what is waiting."""

    def __init__(self, engine: sa.Engine, rows: Counter) -> None:
        self._engine = engine
        self._partitions = Partitions(engine, "recommendation_log")
        self._rows = rows
        self._waiting: deque[NotedAnswer] = deque()

    def note(self, answer: NotedAnswer) -> None:
        """Never waits: a full queue loses the answer, and counts it."""
        if len(self._waiting) >= MOST_WAITING:
            self._rows.labels("dropped").inc()
        else:
            self._waiting.append(answer)

    def flush(self) -> int:
        """Write all that waits. → rows written. What cannot be written waits on; the error is raised."""
        written = 0
        while self._waiting:
            block = [self._waiting.popleft() for _ in range(min(_BLOCK, len(self._waiting)))]
            try:
                self._partitions.ensure(one.at for one in block)
                with self._engine.begin() as connection:
                    store.append(connection, [record_of(one) for one in block])
            except sa.exc.SQLAlchemyError:
                self._waiting.extendleft(reversed(block))
                raise
            written += len(block)
            self._rows.labels("written").inc(len(block))
        return written

    def close(self) -> None:
        """What waits is written at the end; a database that is away by then must not hold the end up."""
        try:
            self.flush()
        except sa.exc.SQLAlchemyError as error:
            logs.get("recommender").warning("recommendation_log_lost", error=type(error).__name__)


def record_of(noted: NotedAnswer) -> AnswerRecord:
    asked, answer, catalogue = noted.asked, noted.answer, noted.catalogue
    personal = asked.personalise
    stage = content_stage(asked.stage if personal else None, FIT)
    persona = asked.persona if personal else None
    topics = topics_of(asked.profile, asked.context_asset_id, catalogue)
    chance = next((item for item in answer.items if item.propensity < 1.0), None)
    return AnswerRecord(
        at=noted.at,
        recommendation_id=noted.recommendation_id,
        placement=asked.placement,
        channel=noted.channel,
        goal=asked.goal,
        tier=answer.tier,
        degraded=noted.degraded,
        ranking=noted.ranking,
        catalogue_revision=catalogue.revision,
        identity_id=noted.identity_id if personal else None,
        account_id=noted.account_id if personal else None,
        stage=stage,
        persona=persona,
        topics=topics,
        asked=asked.count,
        asset_ids=tuple(item.asset_id for item in answer.items),
        chance_rank=None if chance is None else chance.rank,
        propensity=None if chance is None else chance.propensity,
        weak=weaknesses(
            [catalogue.row_of[item.asset_id] for item in answer.items],
            catalogue,
            asked=asked.count,
            fallback=noted.degraded or answer.tier in _FALLBACK_TIERS,
            stage=stage,
            persona=persona,
            topics=topics,
        ),
    )
