"""The catalogue's use cases: put, patch, delete, read and list assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from contract.assets import AssetFields, AssetOutput, AssetPatch
from recommender.clients.embedder import EmbeddingFailed
from recommender.domain.assets import UNCONDITIONAL, AssetRecord, Precondition, StoredAsset
from recommender.domain.errors import AssetNotFound, RevisionMismatch
from recommender.service.asset_records import output_of, patched, record_of
from recommender.service.clock import Clock
from recommender.service.encoding import AssetEncoder, AssetText, Encoded
from recommender.service.meters import CatalogueMeters
from recommender.service.replica import CatalogueReplica
from recommender.store import assets as store
from recommender.store import embeddings
from recommender.store.assets import AssetQuery, WriteOutcome
from servicekit import logs
from servicekit.database import reading
from servicekit.errors import UpstreamUnavailable

_PATCH_TRIES = 5


@dataclass(frozen=True, slots=True)
class Written:
    """A written asset and whether the write created it."""

    output: AssetOutput
    etag: str
    created: bool


class AssetService:
    """One asset at a time; `importing` does many."""

    def __init__(
        self,
        engine: sa.Engine,
        replica: CatalogueReplica,
        encoder: AssetEncoder,
        clock: Clock,
        metrics: CatalogueMeters,
        *,
        embed_timeout_seconds: float,
    ) -> None:
        self._engine = engine
        self._replica = replica
        self._encoder = encoder
        self._clock = clock
        self._metrics = metrics
        self._timeout = embed_timeout_seconds
        self._log = logs.get("recommender")

    def put(self, asset_id: str, fields: AssetFields, expected: Precondition = UNCONDITIONAL) -> Written:
        """Store and, if the embedder answers, embed at once; servable on this replica when it returns."""
        record = record_of(asset_id, fields)
        before = self._find(asset_id)
        expected.check(before.revision if before is not None else None)
        outcome = self.write([record], expected)[0]
        return self._written(asset_id, created=before is None and outcome.result == "stored")

    def patch(self, asset_id: str, patch: AssetPatch, expected: Precondition = UNCONDITIONAL) -> Written:
        """Change some fields. Two patches at once both take effect: the later one reads again."""
        for _ in range(_PATCH_TRIES):
            stored = self._find(asset_id)
            if stored is None:
                raise AssetNotFound(asset_id)
            expected.check(stored.revision)
            record = record_of(asset_id, patched(stored.record, patch))
            try:
                self.write([record], Precondition(revision=stored.revision))
            except RevisionMismatch:
                if expected.revision is not None:
                    raise
                continue
            return self._written(asset_id, created=False)
        raise RevisionMismatch("The asset keeps changing under this request; try again.")

    def delete(self, asset_id: str, expected: Precondition = UNCONDITIONAL) -> None:
        """Once this returns no replica serves it: each checks the newest revision before it answers."""
        with self._engine.begin() as connection:
            store.lock_head(connection)
            _check(connection, asset_id, expected)
            if not store.delete_asset(connection, asset_id, self._clock()):
                raise AssetNotFound(asset_id)
        self._metrics.writes.labels("deleted").inc()
        self._replica.catch_up()

    def get(self, asset_id: str) -> Written:
        return self._written(asset_id, created=False)

    def exists(self, asset_id: str) -> bool:
        return self._find(asset_id) is not None

    def page(self, query: AssetQuery) -> tuple[list[AssetOutput], int, tuple[datetime, str] | None]:
        """→ (assets of the page, how many match in all, where the next page begins or None)."""
        snapshot = self._replica.snapshot
        only = None
        if query.stage is not None:
            catalogue = snapshot.catalogue
            column = ("awareness", "consideration", "decision", "customer").index(query.stage)
            only = [a for a, row in catalogue.row_of.items() if int(catalogue.stage[row].argmax()) == column]
        with reading(self._engine) as connection:
            found, total = store.list_assets(connection, query, snapshot.catalogue.model_id, only)
        outputs = [output_of(asset, snapshot.catalogue) for asset in found]
        last = found[-1] if len(found) == query.page_size else None
        return outputs, total, None if last is None else (last.updated_at, last.record.asset_id)

    def write(
        self, records: Sequence[AssetRecord], expected: Precondition = UNCONDITIONAL
    ) -> list[WriteOutcome]:
        """Store records with distinct ids in one transaction, embedded where that is possible now."""
        encoded = self.encode(records)
        return self.store_encoded(records, encoded, expected)

    def encode(self, records: Sequence[AssetRecord]) -> tuple[list[AssetRecord], Encoded | None]:
        """→ (records whose text has no vector yet, their vectors or None when they must wait)."""
        hashes = [record.text_hash() for record in records]
        with reading(self._engine) as connection:
            _, model = store.read_head(connection)
            ready: set[str] = set()
            if model is not None:
                ids = [record.asset_id for record in records]
                ready = embeddings.reusable_ids(connection, model, ids, hashes)
        wanting = [r for r in records if r.asset_id not in ready and r.status != "archived"]
        if not wanting:
            return [], None
        texts = [AssetText(r.title, r.summary, r.body) for r in wanting]
        try:
            return wanting, self._encoder.encode_assets(texts, timeout_seconds=self._timeout)
        except UpstreamUnavailable:
            self._metrics.embed_failures.labels("embedder_away").inc()
        except EmbeddingFailed as error:
            self._metrics.embed_failures.labels("refused").inc()
            self._log.warning("embedding_refused", assets=len(wanting), detail=str(error))
        return wanting, None

    def store_encoded(
        self,
        records: Sequence[AssetRecord],
        encoded: tuple[Sequence[AssetRecord], Encoded | None],
        expected: Precondition = UNCONDITIONAL,
    ) -> list[WriteOutcome]:
        started = self._clock()
        with self._engine.begin() as connection:
            store.lock_head(connection)
            if len(records) == 1:
                _check(connection, records[0].asset_id, expected)
            outcomes = store.write_assets(connection, records, started)
            wanting, vectors = encoded
            if vectors is not None:
                embeddings.save_embeddings(
                    connection,
                    vectors.model_id,
                    [r.asset_id for r in wanting],
                    [r.text_hash() for r in wanting],
                    vectors.vectors,
                    started,
                    announce=True,
                )
                if store.read_head(connection)[1] is None:
                    embeddings.promote_model(connection, vectors.model_id)
        for outcome in outcomes:
            self._metrics.writes.labels(outcome.result).inc()
        self._replica.catch_up()
        if vectors is not None or not wanting:  # what must wait for its vector is observed when that comes
            self._metrics.servable_seconds.observe(max(0.0, (self._clock() - started).total_seconds()))
        return outcomes

    def _find(self, asset_id: str) -> StoredAsset | None:
        with reading(self._engine) as connection:
            _, model = store.read_head(connection)
            return store.get_asset(connection, asset_id, model)

    def _written(self, asset_id: str, *, created: bool) -> Written:
        stored = self._find(asset_id)
        if stored is None:
            raise AssetNotFound(asset_id)
        return Written(output_of(stored, self._replica.snapshot.catalogue), stored.etag, created)


def _check(connection: sa.Connection, asset_id: str, expected: Precondition) -> None:
    """Under the catalogue's lock, so that of two writers who expect the same one is refused."""
    if expected != UNCONDITIONAL:
        stored = store.get_asset(connection, asset_id, None)
        expected.check(stored.revision if stored is not None else None)
