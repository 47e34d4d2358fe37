"""From a request of the contract to what is asked of the ranking, and the warnings to answer with."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from contract.recommendations import RecommendationRequest, Warning
from recommender.clients.embedder import EmbeddingFailed
from recommender.domain.assets import url_key
from recommender.domain.filters import parse_filter
from recommender.domain.identities import Identity
from recommender.domain.ranking_request import PlacementRules, RankRequest
from recommender.service.buyer_requests import rank_request_of
from recommender.service.buyer_view import BuyerView
from recommender.service.encoding import AssetEncoder
from recommender.service.estimates import StageEstimate, StageEstimator
from recommender.service.placements import PlacementBook
from recommender.service.replica import Snapshot
from servicekit.errors import UpstreamUnavailable

# A text query must not hold up a page: past this the answer does without it, and says so.
_QUERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """One request, read: what is asked of the ranking, and what the answer will say besides."""

    request: RecommendationRequest
    recommendation_id: str
    ranked: RankRequest
    estimate: StageEstimate
    warnings: tuple[Warning, ...]
    identity_id: int | None
    account_id: int | None


class RequestPreparation:
    def __init__(self, estimator: StageEstimator, placements: PlacementBook, encoder: AssetEncoder) -> None:
        self._estimator = estimator
        self._placements = placements
        self._encoder = encoder

    def prepare(
        self,
        request: RecommendationRequest,
        view: BuyerView,
        snapshot: Snapshot,
        now: datetime,
        rules: PlacementRules | None,
    ) -> PreparedRequest:
        """`rules` in place of those that the placement has, or None."""
        warnings: list[Warning] = []
        mask = None
        if request.filter is not None:
            mask = parse_filter(request.filter).mask(snapshot.catalogue)
        estimate = self._estimator.of_buyer(view, now.timestamp())
        recommendation_id = secrets.token_urlsafe(15)
        ranked = replace(
            rank_request_of(view, estimate),
            context_asset_id=_context_asset(request, snapshot),
            query_vector=self._query_vector(request, snapshot, warnings),
            goal=request.goal,
            count=request.count,
            exclude_ids=frozenset(request.exclude_ids),
            filter_mask=mask,
            placement=request.placement,
            rules=self._placements.rules_of(request.placement) if rules is None else rules,
            seed=_seed(request, recommendation_id),
        )
        return PreparedRequest(
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


def _seed(request: RecommendationRequest, recommendation_id: str) -> int:
    """Each answer draws anew; the same question asked as of the same moment is answered the same."""
    drawn: tuple[object, ...] = (recommendation_id,)
    if request.as_of is not None:
        drawn = (request.user_id, request.anonymous_id, request.placement, request.as_of.isoformat())
    return int.from_bytes(hashlib.blake2b(repr(drawn).encode(), digest_size=4).digest(), "big")


def identity_asked_for(request: RecommendationRequest) -> Identity | None:
    if request.user_id is not None:
        return Identity("user", request.user_id)
    if request.anonymous_id is not None:
        return Identity("anonymous", request.anonymous_id)
    return None


def _identity_id(request: RecommendationRequest, view: BuyerView) -> int | None:
    """The identity that was asked for, which a later merge leaves as it is."""
    asked = identity_asked_for(request)
    return next((i.identity_id for i in view.identities if (i.kind, i.external_id) == asked), None)


def _context_asset(request: RecommendationRequest, snapshot: Snapshot) -> str | None:
    if request.context.asset_id is not None:
        return request.context.asset_id
    if request.context.url is None:
        return None
    return snapshot.asset_at(url_key(request.context.url))
