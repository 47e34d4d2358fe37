"""What a draft would be before it is published: its stage, its near-duplicates, and who would see it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contract.assets import (
    AssetInput,
    AssetPreview,
    Audience,
    AudienceCount,
    NearDuplicate,
    PreviewWarning,
    StageEstimate,
)
from contract.base import BuyerStage
from recommender.clients.embedder import EmbeddingFailed
from recommender.domain.assets import AssetRecord, url_key
from recommender.domain.catalogue import STAGES, AssetCard, Catalogue
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.index.drafts import with_draft
from recommender.numeric.selection import top
from recommender.service.asset_records import record_of
from recommender.service.buyer_requests import rank_request_of
from recommender.service.buyer_view import BuyerView
from recommender.service.clock import Clock
from recommender.service.encoding import AssetEncoder, AssetText, Encoded
from recommender.service.estimates import StageEstimator
from recommender.service.learning_loop import BehaviourKeeper
from recommender.service.ranker import recommend_block
from recommender.service.recent_buyers import RecentBuyers
from recommender.service.replica import CatalogueReplica, Snapshot
from recommender.store.assets import read_head
from recommender.store.embeddings import CatalogueChange
from servicekit.database import reading
from servicekit.errors import Unavailable, Unprocessable, UpstreamUnavailable

NEAR_DUPLICATE = 0.80
"""Cosine from which two assets count as near-duplicates. Measured on the sample firm with the model that is
shipped: no two different assets come nearer than .66; a copy that lost a fifth of its paragraphs stays above
.94 and one that lost half above .87, nineteen times in twenty."""
_MOST_DUPLICATES = 10
TOP_PLACES = 5
MOST_BUYERS = 500
_BLOCK = 32
_AUDIENCE_SECONDS = 2.0
# No id may hold it, so that a draft without an id is nobody else.
_NO_ID = "\x00draft"


class PreviewService:
    """Reads only. One call of the embedder, one picture of the catalogue, bounded time for the audience."""

    def __init__(
        self,
        engine: sa.Engine,
        replica: CatalogueReplica,
        encoder: AssetEncoder,
        buyers: RecentBuyers,
        estimator: StageEstimator,
        keeper: BehaviourKeeper,
        config: RankingConfig,
        clock: Clock,
        *,
        embed_timeout_seconds: float,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._replica = replica
        self._encoder = encoder
        self._buyers = buyers
        self._estimator = estimator
        self._keeper = keeper
        # Chance must not decide what an editor is told.
        self._config = replace(config, rerank=replace(config.rerank, explore_share=0.0))
        self._clock = clock
        self._timeout = embed_timeout_seconds

    def preview(self, fields: AssetInput) -> AssetPreview:
        """Raises Unavailable while the embedder is away, Unprocessable for a text that it refuses."""
        record = record_of(fields.id or _NO_ID, fields)
        encoded = self._encode(record)
        now = self._clock().timestamp()
        with reading(self._engine) as connection:
            snapshot = self._replica.ensure(connection, *read_head(connection))
            catalogue = snapshot.catalogue
            comparable = encoded.model_id == catalogue.model_id
            vector = encoded.vectors[0]
            estimator = self._replica.estimator_of(encoded.model_id)
            stage = estimator.estimate([_change(record, vector)])[0]
            audience = _nobody(self._buyers.count(connection))
            warnings = []
            if comparable:
                drafted = with_draft(catalogue, _card(record), stage, vector, now)
                audience = self._audience(connection, snapshot, drafted, record.asset_id, now)
            elif catalogue.row_of:
                detail = "The embedding model is being changed; duplicates and audience come when it is done."
                warnings.append(PreviewWarning(code="model_changing", detail=detail))
        return AssetPreview(
            id=fields.id,
            type=record.type,
            type_source="guessed" if fields.type is None else "editor",
            language=record.language,
            language_source="editor" if fields.language else "detected" if record.language else "unknown",
            stage_estimate=StageEstimate(
                distribution={s: round(float(p), 4) for s, p in zip(STAGES, stage, strict=True)},
                source="editor" if record.stages else "model",
            ),
            near_duplicates=_near_duplicates(catalogue, record, vector if comparable else None),
            audience=audience,
            warnings=tuple(warnings),
        )

    def _encode(self, record: AssetRecord) -> Encoded:
        text = AssetText(record.title, record.summary, record.body)
        try:
            return self._encoder.encode_assets([text], timeout_seconds=self._timeout)
        except UpstreamUnavailable as error:
            raise Unavailable(
                "The embedder does not answer, so the draft cannot be scored now; nothing was stored.",
                code="embedder_away",
            ) from error
        except EmbeddingFailed as error:
            raise Unprocessable(
                "The embedder refuses the text of this draft.", code="embedding_refused"
            ) from error

    def _audience(
        self, connection: sa.Connection, snapshot: Snapshot, drafted: Catalogue, asset_id: str, now: float
    ) -> Audience:
        """Ranks for the recently active until they, or the time for it, run out."""
        index = snapshot.index.grown_to(drafted.vectors)
        found: list[tuple[BuyerStage, BuyerView]] = []
        sampled = 0
        until = time.monotonic() + _AUDIENCE_SECONDS
        block: list[tuple[BuyerView, RankRequest, BuyerStage]] = []

        def rank() -> None:
            answers = recommend_block(
                drafted, index, self._keeper.behaviour, self._config, [asked for _, asked, _ in block], now
            )
            for (view, _, stage), answer in zip(block, answers, strict=True):
                if any(item.asset_id == asset_id for item in answer.items):
                    found.append((stage, view))
            block.clear()

        for view in self._buyers.views(connection, MOST_BUYERS):
            estimate = self._estimator.of_buyer(view, now)
            shown = self._estimator.shown(estimate, now, with_evidence=False)
            request = replace(rank_request_of(view, estimate), count=TOP_PLACES)
            block.append((view, request, shown.name if estimate.known else "unknown"))
            sampled += 1
            if len(block) == _BLOCK:
                rank()
                if time.monotonic() > until:
                    break
        if block:
            rank()
        return _counted(found, sampled, self._buyers.count(connection))


def _counted(found: Sequence[tuple[BuyerStage, BuyerView]], sampled: int, known: int) -> Audience:
    stages: tuple[BuyerStage, ...] = get_args(BuyerStage)

    def count(views: Sequence[BuyerView]) -> AudienceCount:
        accounts = {view.account.row.account_id for view in views if view.account is not None}
        return AudienceCount(buyers=len(views), accounts=len(accounts))

    total = count([view for _, view in found])
    return Audience(
        buyers=total.buyers,
        accounts=total.accounts,
        by_stage={one: count([view for stage, view in found if stage == one]) for one in stages},
        places=TOP_PLACES,
        sampled=sampled,
        sampled_of=known,
    )


def _nobody(known: int) -> Audience:
    return _counted((), 0, known)


def _near_duplicates(
    catalogue: Catalogue, record: AssetRecord, vector: NDArray[np.float32] | None
) -> tuple[NearDuplicate, ...]:
    """Living assets, drafts too, that are as near as NEAR_DUPLICATE or live at the same address."""
    near = np.zeros(len(catalogue))
    if vector is not None and len(catalogue):
        near = np.where(catalogue.has_vector, catalogue.vectors @ vector, 0.0)
    key = url_key(record.url)
    same = {row for row in catalogue.row_of.values() if url_key(catalogue.cards[row].url) == key}
    rows = [int(row) for row in top(np.where(catalogue.alive, near, -1.0), _MOST_DUPLICATES)]
    chosen = [row for row in rows if (catalogue.alive[row] and near[row] >= NEAR_DUPLICATE) or row in same]
    chosen += sorted(same - set(chosen))
    return tuple(
        NearDuplicate(
            id=catalogue.cards[row].asset_id,
            title=catalogue.cards[row].title,
            url=catalogue.cards[row].url,
            similarity=round(min(1.0, float(near[row])), 4),
            same_url=row in same,
        )
        for row in chosen
        if catalogue.cards[row].asset_id != record.asset_id
    )


def _card(record: AssetRecord) -> AssetCard:
    return AssetCard(
        asset_id=record.asset_id,
        title=record.title,
        url=record.url,
        type=record.type,
        language=record.language,
        summary=record.summary,
        image_url=record.image_url,
        topics=record.topics,
        personas=record.personas,
        industries=record.industries,
        regions=record.regions,
        equivalent_to=record.equivalent_to,
        stage_source="editor" if record.stages else "model",
    )


def _change(record: AssetRecord, vector: NDArray[np.float32]) -> CatalogueChange:
    return CatalogueChange(
        change=0,
        asset_id=record.asset_id,
        card=_card(record),
        approved=True,
        publish_at=-np.inf,
        expires_at=np.inf,
        published_at=0.0,
        stages=None if record.stages is None else dict(record.stages),
        vector=vector,
    )
