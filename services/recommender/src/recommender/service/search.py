"""Search over eligible assets: nearest in meaning and sharing words, fused by rank."""

from __future__ import annotations

import sqlalchemy as sa
from prometheus_client import Histogram

from contract.recommendations import SearchHit, SearchResponse
from recommender.clients.embedder import EmbeddingFailed
from recommender.domain.catalogue import Catalogue
from recommender.domain.filters import parse_filter
from recommender.service.answer_rendering import described
from recommender.service.clock import Clock
from recommender.service.encoding import AssetEncoder
from recommender.service.measured_search import MeasuredSearch
from recommender.service.replica import CatalogueReplica, Snapshot
from recommender.store.assets import read_head
from servicekit import logs
from servicekit.database import reading
from servicekit.errors import UpstreamUnavailable

_DEPTH = 100
_QUERY_SECONDS = 2.0
# Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009); meaning weighs more than words.
_FUSION_CONSTANT = 60.0
_WORD_WEIGHT = 0.5


class SearchService:
    def __init__(
        self,
        engine: sa.Engine,
        replica: CatalogueReplica,
        encoder: AssetEncoder,
        clock: Clock,
        search_seconds: Histogram,
    ) -> None:
        self._engine = engine
        self._replica = replica
        self._encoder = encoder
        self._clock = clock
        self._search_seconds = search_seconds
        self._log = logs.get("recommender")

    def search(self, text: str, count: int, filter_tree: object | None) -> SearchResponse:
        """Best `count` assets for a text; with the embedder away words alone decide, and `meta` says so."""
        snapshot, degraded = self._snapshot()
        catalogue = snapshot.catalogue
        eligible = catalogue.eligible(self._clock().timestamp())
        if filter_tree is not None:
            eligible = eligible & parse_filter(filter_tree).mask(catalogue)
        fused: dict[int, float] = {}
        meaning = True
        try:
            encoded = self._encoder.encode_query(text, timeout_seconds=_QUERY_SECONDS)
            if encoded.model_id == catalogue.model_id:
                index = MeasuredSearch(snapshot.index, self._search_seconds)
                _, rows = index.search(encoded.vectors, _DEPTH, eligible & catalogue.has_vector)
                _fuse(fused, [int(r) for r in rows[0] if r >= 0], 1.0)
        except (UpstreamUnavailable, EmbeddingFailed):
            meaning = False
        _fuse(fused, snapshot.sharing_words(text, eligible, _DEPTH), _WORD_WEIGHT)
        best = sorted(fused, key=lambda row: (-fused[row], row))[:count]
        return SearchResponse(
            items=tuple(_hit(catalogue, row, rank, fused[row]) for rank, row in enumerate(best, 1)),
            meta={
                "degraded": degraded or not meaning,
                "model_version": catalogue.model_id,
                "catalogue_revision": catalogue.revision,
            },
        )

    def _snapshot(self) -> tuple[Snapshot, bool]:
        try:
            with reading(self._engine) as connection:
                return self._replica.ensure(connection, *read_head(connection)), False
        except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
            self._log.warning("database_away", error=type(error).__name__)
            return self._replica.remembered(), True


def _fuse(fused: dict[int, float], rows: list[int], weight: float) -> None:
    for rank, row in enumerate(rows, 1):
        fused[row] = fused.get(row, 0.0) + weight / (_FUSION_CONSTANT + rank)


def _hit(catalogue: Catalogue, row: int, rank: int, score: float) -> SearchHit:
    return SearchHit(**described(catalogue.cards[row]), rank=rank, score=round(score, 6))
