"""Answering "what to show next": read the buyer, rank, answer, and note what was answered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import Histogram

from contract.recommendations import RecommendationRequest, RecommendationResponse
from recommender.domain.errors import AssetNotFound
from recommender.domain.identities import Identity
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_request import Explanation, PlacementRules, RankedAnswer
from recommender.service.answer_rendering import rendered, tier_named
from recommender.service.buyer_view import BuyerReader, BuyerView
from recommender.service.clock import Clock
from recommender.service.encoding import AssetEncoder
from recommender.service.estimates import StageEstimate, StageEstimator
from recommender.service.learning_loop import BehaviourKeeper
from recommender.service.measured_search import MeasuredSearch
from recommender.service.meters import AnswerMeters
from recommender.service.placements import PlacementBook
from recommender.service.ranker import explain, recommend_block
from recommender.service.recommendation_log import NotedAnswer, RecommendationLog
from recommender.service.replica import CatalogueReplica, Snapshot
from recommender.service.request_preparation import (
    PreparedRequest,
    RequestPreparation,
    identity_asked_for,
)
from recommender.store.assets import HEADS, heads_of
from recommender.store.driver import ask_all
from servicekit import logs
from servicekit.database import reading


class RecommendationService:
    """Single requests are blocks of one, so a batch gives exactly what single requests would."""

    def __init__(
        self,
        engine: sa.Engine,
        replica: CatalogueReplica,
        reader: BuyerReader,
        estimator: StageEstimator,
        keeper: BehaviourKeeper,
        placements: PlacementBook,
        answers_log: RecommendationLog,
        encoder: AssetEncoder,
        config: RankingConfig,
        clock: Clock,
        metrics: AnswerMeters,
        search_seconds: Histogram,
    ) -> None:
        # Versions and logs of buyers, and the catalogue's head, are read in one picture.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._replica = replica
        self._reader = reader
        self._estimator = estimator
        self._keeper = keeper
        self._placements = placements
        self._answers_log = answers_log
        self._preparation = RequestPreparation(estimator, placements, encoder)
        self._config = config
        self._ranking_name = f"{config.name}@{config.version}"
        self._clock = clock
        self._metrics = metrics
        self._search_seconds = search_seconds
        self._log = logs.get("recommender")

    def recommend(self, request: RecommendationRequest, *, noted: bool = True) -> RecommendationResponse:
        """One answer. `noted` False for one that no buyer will see: it stays out of the log."""
        return self._recommend([request], None, noted=noted)[0]

    def preview(self, request: RecommendationRequest, rules: PlacementRules) -> RecommendationResponse:
        """The answer that there would be if the placement had these rules."""
        return self._recommend([request], rules, noted=False)[0]

    def recommend_many(
        self, requests: Sequence[RecommendationRequest], *, noted: bool = True
    ) -> list[RecommendationResponse]:
        """One answer each, in order; reads in one database picture, ranks in one block per moment."""
        return self._recommend(requests, None, noted=noted)

    def _recommend(
        self, requests: Sequence[RecommendationRequest], rules: PlacementRules | None, *, noted: bool
    ) -> list[RecommendationResponse]:
        started = time.perf_counter()
        snapshot, views, degraded = self._read(requests)
        read_at = time.perf_counter()
        now = self._clock()
        prepared = [
            self._preparation.prepare(request, view, snapshot, self._moment(request, now), rules)
            for request, view in zip(requests, views, strict=True)
        ]
        answers: list[RankedAnswer | None] = [None] * len(prepared)
        by_moment: dict[datetime, list[int]] = {}
        for position, request in enumerate(requests):
            by_moment.setdefault(self._moment(request, now), []).append(position)
        for at, positions in by_moment.items():
            block = recommend_block(
                snapshot.catalogue,
                MeasuredSearch(snapshot.index, self._search_seconds),
                self._keeper.behaviour,
                self._config,
                [prepared[p].ranked for p in positions],
                at.timestamp(),
            )
            for position, answer in zip(positions, block, strict=True):
                answers[position] = answer
        ranked_at = time.perf_counter()
        timings = {
            "read": round((read_at - started) * 1000, 2),
            "rank": round((ranked_at - read_at) * 1000, 2),
        }
        responses = [
            self._response(p, answer, snapshot, degraded, timings, self._moment(p.request, now).timestamp())
            for p, answer in zip(prepared, answers, strict=True)
            if answer is not None
        ]
        if noted:
            for one, made in zip(prepared, answers, strict=True):
                if made is not None and one.request.as_of is None:
                    self._note(one, made, snapshot, degraded, now)
        if len(requests) == 1:  # the parts of a batch say nothing of a page's wait
            stages = self._metrics.stage_seconds
            stages.labels("read").observe(read_at - started)
            stages.labels("rank").observe(ranked_at - read_at)
            stages.labels("render").observe(time.perf_counter() - ranked_at)
        return responses

    def _note(
        self,
        prepared: PreparedRequest,
        answer: RankedAnswer,
        snapshot: Snapshot,
        degraded: bool,
        now: datetime,
    ) -> None:
        self._answers_log.note(
            NotedAnswer(
                at=now,
                recommendation_id=prepared.recommendation_id,
                channel=prepared.request.channel,
                ranking=self._ranking_name,
                degraded=degraded,
                identity_id=prepared.identity_id,
                account_id=prepared.account_id,
                asked=prepared.ranked,
                answer=answer,
                catalogue=snapshot.catalogue,
            )
        )

    def explain(
        self, request: RecommendationRequest, asset_id: str
    ) -> tuple[Explanation, StageEstimate, float]:
        """Why an asset is or is not in the answer. → (explanation, stage estimate, epoch seconds)."""
        snapshot, views, _ = self._read([request])
        if asset_id not in snapshot.catalogue.row_of:
            raise AssetNotFound(asset_id)
        now = self._moment(request, self._clock())
        prepared = self._preparation.prepare(request, views[0], snapshot, now, None)
        explanation = explain(
            snapshot.catalogue,
            snapshot.index,
            self._keeper.behaviour,
            self._config,
            prepared.ranked,
            asset_id,
            now.timestamp(),
        )
        return explanation, prepared.estimate, now.timestamp()

    def _moment(self, request: RecommendationRequest, now: datetime) -> datetime:
        return request.as_of or now

    def _read(self, requests: Sequence[RecommendationRequest]) -> tuple[Snapshot, list[BuyerView], bool]:
        """→ (catalogue as new as the database says, a view of each buyer, whether the database was away)."""
        try:
            with reading(self._engine) as connection:
                present = [_asked_about(one) for one in requests if one.as_of is None]
                heads, *answers = ask_all(connection, [HEADS, *self._reader.questions(present)])
                revision, live_model, rules_revision = heads_of(heads)
                snapshot = self._replica.ensure(connection, revision, live_model)
                self._placements.ensure(connection, rules_revision)
                views = iter(self._reader.views(connection, present, answers))
                return snapshot, [self._view(connection, one, views) for one in requests], False
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            # Never blank: the catalogue and what was learnt are in memory, only the buyer is unknown.
            self._metrics.read_failures.inc()
            self._log.warning("database_away", error=type(error).__name__)
            return self._replica.remembered(), [self._reader.stranger() for _ in requests], True

    def _view(
        self, connection: sa.Connection, request: RecommendationRequest, present: Iterator[BuyerView]
    ) -> BuyerView:
        """Who asks: the next of those at present, or, for a moment of the past, replayed from the log."""
        if request.as_of is None:
            return next(present)
        identity, account = _asked_about(request)
        return self._reader.read(connection, identity, account, request.as_of.timestamp())

    def _response(
        self,
        prepared: PreparedRequest,
        answer: RankedAnswer,
        snapshot: Snapshot,
        degraded: bool,
        timings: dict[str, float],
        now: float,
    ) -> RecommendationResponse:
        self._metrics.answers.labels(tier_named(answer.tier), str(degraded).lower()).inc()
        if not answer.items:
            self._metrics.empty.inc()
        explained = prepared.request.explain
        stage = None
        if explained != "none":
            with_evidence = explained == "full" or bool(prepared.estimate.known)
            stage = self._estimator.shown(prepared.estimate, now, with_evidence=with_evidence)
        return rendered(prepared, answer, snapshot.catalogue, stage, degraded=degraded, timings=timings)


def _asked_about(request: RecommendationRequest) -> tuple[Identity | None, str | None]:
    return identity_asked_for(request), request.account_id
