"""Answering "what to show next": read the buyer, rank, and put the answer into the contract's words."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from prometheus_client import Histogram

from contract.recommendations import (
    Meta,
    Reason,
    RecommendationRequest,
    RecommendationResponse,
    RecommendedAsset,
    Tier,
    Warning,
)
from recommender.clients.embedder import EmbeddingFailed
from recommender.domain.assets import url_key
from recommender.domain.buyer_state import moment
from recommender.domain.catalogue import STAGES, Catalogue
from recommender.domain.errors import AssetNotFound
from recommender.domain.filters import parse_filter
from recommender.domain.identities import Identity
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_request import (
    NO_RULES,
    Explanation,
    PlacementRules,
    RankedAnswer,
    RankRequest,
)
from recommender.service.buyer_requests import rank_request_of
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
from recommender.store.assets import read_heads
from servicekit import logs, request_context
from servicekit.errors import UpstreamUnavailable

# A text query must not hold up a page: past this the answer does without it, and says so.
_QUERY_SECONDS = 0.5
_TIERS: tuple[Tier, ...] = ("personal", "account", "stage", "popular", "static")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request, read: what is asked of the ranking, and what the answer will say besides."""

    request: RecommendationRequest
    recommendation_id: str
    ranked: RankRequest
    estimate: StageEstimate
    warnings: tuple[Warning, ...]
    identity_id: int | None
    account_id: int | None


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
        self._encoder = encoder
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
            self._prepare(request, view, snapshot, self._moment(request, now), rules)
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
        self, prepared: Prepared, answer: RankedAnswer, snapshot: Snapshot, degraded: bool, now: datetime
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
        prepared = self._prepare(request, views[0], snapshot, now, None)
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
            with self._engine.connect() as connection:
                revision, live_model, rules_revision = read_heads(connection)
                snapshot = self._replica.ensure(connection, revision, live_model)
                self._placements.ensure(connection, rules_revision)
                views = [
                    self._reader.read(
                        connection,
                        _identity(request),
                        request.account_id,
                        None if request.as_of is None else request.as_of.timestamp(),
                    )
                    for request in requests
                ]
                return snapshot, views, False
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            # Never blank: the catalogue and what was learnt are in memory, only the buyer is unknown.
            self._metrics.read_failures.inc()
            self._log.warning("database_away", error=type(error).__name__)
            return self._replica.snapshot, [self._reader.stranger() for _ in requests], True

    def _prepare(
        self,
        request: RecommendationRequest,
        view: BuyerView,
        snapshot: Snapshot,
        now: datetime,
        rules: PlacementRules | None,
    ) -> Prepared:
        warnings: list[Warning] = []
        mask = None
        if request.filter is not None:
            mask = parse_filter(request.filter).mask(snapshot.catalogue)
        estimate = self._estimator.of_buyer(view, now.timestamp())
        recommendation_id = secrets.token_urlsafe(15)
        query_vector = self._query_vector(request, snapshot, warnings)
        ranked = replace(
            rank_request_of(view, estimate),
            context_asset_id=_context_asset(request, snapshot),
            query_vector=query_vector,
            goal=request.goal,
            count=request.count,
            exclude_ids=frozenset(request.exclude_ids),
            filter_mask=mask,
            placement=request.placement,
            rules=self._placements.rules_of(request.placement) if rules is None else rules,
            seed=int.from_bytes(hashlib.blake2b(recommendation_id.encode(), digest_size=4).digest(), "big"),
        )
        return Prepared(
            request,
            recommendation_id,
            ranked,
            estimate,
            tuple(warnings),
            _identity_id(request, view),
            None if view.account is None else view.account.row.account_id,
        )

    def _query_vector(
        self, request: RecommendationRequest, snapshot: Snapshot, warnings: list[Warning]
    ) -> NDArray[np.float32] | None:
        text = request.context.query
        if text is None or not text.strip():
            return None
        try:
            encoded = self._encoder.encode_query(text, timeout_seconds=_QUERY_SECONDS)
        except (UpstreamUnavailable, EmbeddingFailed):
            warnings.append(
                Warning(code="query_ignored", detail="The text of the query could not be read now.")
            )
            return None
        if encoded.model_id != snapshot.catalogue.model_id:
            warnings.append(Warning(code="query_ignored", detail="The model is being changed."))
            return None
        return np.asarray(encoded.vectors[0])

    def _response(
        self,
        prepared: Prepared,
        answer: RankedAnswer,
        snapshot: Snapshot,
        degraded: bool,
        timings: dict[str, float],
        now: float,
    ) -> RecommendationResponse:
        request = prepared.request
        tier = next(t for t in _TIERS if t == answer.tier)
        self._metrics.answers.labels(tier, str(degraded).lower()).inc()
        if not answer.items:
            self._metrics.empty.inc()
        warnings = [*prepared.warnings, *(Warning(code=c, detail=d) for c, d in answer.warnings)]
        if not answer.items and prepared.ranked.rules is not NO_RULES:
            warnings.append(
                Warning(
                    code="rules_leave_nothing",
                    detail="The rules of this placement, with the filter if any, leave nothing to show.",
                )
            )
        if degraded:
            warnings.append(
                Warning(
                    code="buyer_unknown", detail="The buyer could not be read; this answer is for anybody."
                )
            )
        stage = None
        if request.explain != "none":
            with_evidence = request.explain == "full" or bool(prepared.estimate.known)
            stage = self._estimator.shown(prepared.estimate, now, with_evidence=with_evidence)
        context = request_context.current()
        return RecommendationResponse.model_construct(
            recommendation_id=prepared.recommendation_id,
            items=tuple(_items(answer, snapshot.catalogue, request.explain)),
            stage=stage,
            meta=Meta(
                request_id=context.request_id if context else prepared.recommendation_id,
                tier=tier,
                degraded=degraded,
                model_version=snapshot.catalogue.model_id,
                catalogue_revision=snapshot.catalogue.revision,
                timings_ms=timings,
            ),
            warnings=tuple(warnings),
        )


def shown_until(catalogue: Catalogue, row: int) -> datetime | None:
    """When the asset of this row expires."""
    at = float(catalogue.expires_at[row])
    return moment(at) if np.isfinite(at) else None


def _items(answer: RankedAnswer, catalogue: Catalogue, explained: str) -> list[RecommendedAsset]:
    items = []
    for item in answer.items:
        row = catalogue.row_of[item.asset_id]
        card = catalogue.cards[row]
        items.append(
            RecommendedAsset.model_construct(
                id=card.asset_id,
                title=card.title,
                url=card.url,
                click_url=None,
                type=card.type,
                summary=card.summary,
                image_url=card.image_url,
                rank=item.rank,
                score=round(item.score, 6) if explained != "full" else item.score,
                stage=STAGES[int(catalogue.stage[row].argmax())],
                expires_at=shown_until(catalogue, row),
                reasons=()
                if explained == "none"
                else tuple(Reason(code=code, text=text) for code, text in item.reasons),
                terms=dict(item.terms) if explained == "full" else None,
            )
        )
    return items


def _identity(request: RecommendationRequest) -> Identity | None:
    if request.user_id is not None:
        return Identity("user", request.user_id)
    if request.anonymous_id is not None:
        return Identity("anonymous", request.anonymous_id)
    return None


def _identity_id(request: RecommendationRequest, view: BuyerView) -> int | None:
    """The identity that was asked for, which a later merge leaves as it is."""
    asked = _identity(request)
    return next((i.identity_id for i in view.identities if (i.kind, i.external_id) == asked), None)


def _context_asset(request: RecommendationRequest, snapshot: Snapshot) -> str | None:
    if request.context.asset_id is not None:
        return request.context.asset_id
    if request.context.url is None:
        return None
    return snapshot.asset_at(url_key(request.context.url))
