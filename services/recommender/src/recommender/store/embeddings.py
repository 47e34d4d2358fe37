"""Embeddings at rest: vectors as float32 bytes beside their model, what still lacks one, and what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.domain.catalogue import AssetCard
from recommender.store.assets import advance_head, lock_head


@dataclass(frozen=True, slots=True)
class PendingAsset:
    """An asset whose text has no vector of the wanted model yet."""

    asset_id: str
    text_hash: bytes
    title: str
    summary: str | None
    body: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CatalogueChange:
    """One asset as a replica follows it; `card` is None once it is deleted. Times are epoch seconds."""

    change: int
    asset_id: str
    card: AssetCard | None
    approved: bool
    publish_at: float
    expires_at: float
    published_at: float
    stages: dict[str, float] | None
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Share:
    """Part `index` of `count` (from 0) of all assets, by a hash of their ids that never changes."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many assets wait for a vector, since when the longest of them, and the least of their change numbers."""

    count: int
    oldest_seconds: float
    first_change: int | None


WHOLE = Share(0, 1)
NOTHING_SETTLED = -1  # below every change number
_IN_SHARE = "(%(shares)s = 1 OR ('x' || left(md5(a.asset_id), 8))::bit(32)::int8 %% %(shares)s = %(share)s)"

Vectors = NDArray[np.float32]
# Longer than encoding a block can take; after it the work of a replica that died is taken up by another.
LEASE_SECONDS = 120
# What is put off for longer than anything is ever put off was so by a clock that was wrong.
_LONGEST_WAIT_SECONDS = 3_600 + LEASE_SECONDS

_CHANGES = """
SELECT a.change, a.asset_id, a.deleted_at IS NOT NULL, a.title, a.url, a.type, a.language, a.summary, a.image_url,
       a.topics, a.personas, a.industries, a.regions, a.equivalent_to, a.status = 'approved',
       coalesce(extract(epoch FROM a.publish_at)::float8, '-infinity'),
       coalesce(extract(epoch FROM a.expires_at)::float8, 'infinity'),
       extract(epoch FROM coalesce(a.publish_at, a.created_at))::float8, a.stages, e.vector
FROM recommender.assets a
LEFT JOIN recommender.embeddings e ON e.asset_id = a.asset_id AND e.model_id = %(model)s AND e.text_hash = a.text_hash
WHERE a.change > %(since)s ORDER BY a.change
"""


def changes_since(connection: sa.Connection, change: int, model_id: str | None) -> Iterator[CatalogueChange]:
    """Every asset that changed after `change`, in order, with its vector of the given model."""
    rows = connection.exec_driver_sql(_CHANGES, {"since": change, "model": model_id})
    for row in rows:
        card = None
        if not row[2]:
            card = AssetCard(
                asset_id=row[1],
                title=row[3],
                url=row[4],
                type=row[5],
                language=row[6],
                summary=row[7],
                image_url=row[8],
                topics=tuple(row[9]),
                personas=tuple(row[10]),
                industries=tuple(row[11]),
                regions=tuple(row[12]),
                equivalent_to=row[13],
                stage_source="editor" if row[18] else "model",
            )
        vector = None if row[19] is None else np.frombuffer(row[19], dtype="<f4")
        yield CatalogueChange(row[0], row[1], card, row[14], row[15], row[16], row[17], row[18], vector)


def newest_edit_age(connection: sa.Connection, change: int) -> float | None:
    """Seconds since the newest edit after `change`; None where only embeddings came."""
    age = connection.exec_driver_sql(
        "SELECT extract(epoch FROM clock_timestamp() - max(updated_at))::float8 FROM recommender.assets "
        "WHERE change > %s AND revision > %s",
        (change, change),
    ).scalar_one()
    return None if age is None else float(age)


_CLAIM = f"""
UPDATE recommender.assets SET embedding_retry_at = %(now)s::timestamptz + make_interval(secs => %(lease)s)
WHERE asset_id IN (SELECT a.asset_id FROM recommender.assets a
WHERE a.change > %(settled)s AND a.deleted_at IS NULL AND a.status <> 'archived'
  AND (a.status = 'approved') = %(approved)s
  AND {_IN_SHARE} AND (a.embedding_retry_at IS NULL OR a.embedding_retry_at <= %(now)s
       OR a.embedding_retry_at > %(now)s::timestamptz + make_interval(secs => %(longest)s))
  AND NOT EXISTS (SELECT FROM recommender.embeddings e
                  WHERE e.asset_id = a.asset_id AND e.model_id = %(model)s AND e.text_hash = a.text_hash)
ORDER BY a.change LIMIT %(limit)s FOR UPDATE OF a SKIP LOCKED)
RETURNING asset_id, text_hash, title, summary, body, updated_at
"""


def claim_pending(
    connection: sa.Connection,
    model_id: str,
    limit: int,
    now: datetime,
    share: Share = WHOLE,
    settled: int = NOTHING_SETTLED,
) -> list[PendingAsset]:
    """Assets without a vector of this model that changed after `settled`, leased so that replicas share the work.

    A lease and not a lock: encoding takes long, and writers must not wait for it. Commit before encoding.
    """
    parameters = {
        "model": model_id,
        "limit": limit,
        "now": now,
        "lease": LEASE_SECONDS,
        "longest": _LONGEST_WAIT_SECONDS,
        "share": share.index,
        "shares": share.count,
        "settled": settled,
    }
    rows: Sequence[Any] = ()
    for approved in (True, False):  # each in the order of changes, which an index gives without reading all
        rows = rows or connection.exec_driver_sql(_CLAIM, {**parameters, "approved": approved}).all()
    return [PendingAsset(row[0], bytes(row[1]), row[2], row[3], row[4], row[5]) for row in rows]


def give_back(connection: sa.Connection, ids: Sequence[str]) -> None:
    """End the lease of work that could not be done: whoever looks next may take it."""
    connection.exec_driver_sql(
        "UPDATE recommender.assets SET embedding_retry_at = NULL WHERE asset_id = ANY(%s)", (list(ids),)
    )


def backlog(connection: sa.Connection, model_id: str | None, settled: int) -> Backlog:
    """What has no vector of this model, among assets that changed after `settled`."""
    row = connection.exec_driver_sql(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(a.updated_at))::float8, 0), min(a.change) "
        "FROM recommender.assets a WHERE a.change > %(settled)s AND a.deleted_at IS NULL "
        "AND a.status <> 'archived' AND NOT EXISTS (SELECT FROM recommender.embeddings e "
        "WHERE e.asset_id = a.asset_id AND e.model_id = %(model)s AND e.text_hash = a.text_hash)",
        {"model": model_id, "settled": settled},
    ).one()
    return Backlog(int(row[0]), float(row[1]), row[2])


def pending_in_share(connection: sa.Connection, model_id: str, share: Share) -> bool:
    """Whether an asset of this share still waits for a vector of this model, those left out that were refused."""
    found = connection.exec_driver_sql(
        f"SELECT EXISTS (SELECT FROM recommender.assets a WHERE a.deleted_at IS NULL AND a.status <> 'archived' "
        f"AND a.embedding_failures = 0 AND {_IN_SHARE} AND NOT EXISTS (SELECT FROM recommender.embeddings e "
        "WHERE e.asset_id = a.asset_id AND e.model_id = %(model)s AND e.text_hash = a.text_hash))",
        {"model": model_id, "share": share.index, "shares": share.count},
    )
    return bool(found.scalar_one())


def save_embeddings(
    connection: sa.Connection,
    model_id: str,
    ids: Sequence[str],
    text_hashes: Sequence[bytes],
    vectors: NDArray[np.float32],
    now: datetime,
    *,
    announce: bool = True,
) -> None:
    """Store vectors float32 [n, d]. With `announce` the assets' change numbers move, so replicas take them in."""
    rows = [
        (asset_id, model_id, text_hash, vector.astype("<f4").tobytes(), now)
        for asset_id, text_hash, vector in zip(ids, text_hashes, vectors, strict=True)
    ]
    if not rows:
        return
    head = lock_head(connection)
    # The asset may have been changed or deleted while its text was being encoded: then nothing is kept.
    connection.exec_driver_sql(
        "INSERT INTO recommender.embeddings (asset_id, model_id, text_hash, vector, created_at) "
        "SELECT %s, %s, %s, %s, %s WHERE EXISTS (SELECT FROM recommender.assets WHERE asset_id = %s "
        "AND text_hash = %s AND deleted_at IS NULL) ON CONFLICT (asset_id, model_id) DO UPDATE SET vector = excluded.vector, "
        "text_hash = excluded.text_hash, created_at = excluded.created_at",
        [(*row, row[0], row[2]) for row in rows],
    )
    if announce:
        connection.exec_driver_sql(
            "UPDATE recommender.assets SET change = %s, embedding_failures = 0, embedding_retry_at = NULL "
            "WHERE asset_id = %s",
            [(head + offset + 1, asset_id) for offset, asset_id in enumerate(ids)],
        )
        advance_head(connection, head + len(ids))
    else:
        connection.exec_driver_sql(
            "UPDATE recommender.assets SET embedding_failures = 0, embedding_retry_at = NULL "
            "WHERE asset_id = ANY(%s)",
            (list(ids),),
        )


def reusable_ids(
    connection: sa.Connection, model_id: str, ids: Sequence[str], text_hashes: Sequence[bytes]
) -> set[str]:
    """Which of these assets already have a vector of this very text: nothing is embedded twice."""
    rows = connection.exec_driver_sql(
        "SELECT e.asset_id FROM recommender.embeddings e JOIN unnest(%(ids)s::text[], %(hashes)s::bytea[]) "
        "AS t(asset_id, text_hash) USING (asset_id, text_hash) WHERE e.model_id = %(model)s",
        {"ids": list(ids), "hashes": list(text_hashes), "model": model_id},
    )
    return {row[0] for row in rows}


def postpone(connection: sa.Connection, ids: Sequence[str], now: datetime) -> None:
    """An asset that could not be encoded is tried again later, each time after twice the wait, up to an hour."""
    connection.exec_driver_sql(
        "UPDATE recommender.assets SET embedding_failures = embedding_failures + 1, embedding_retry_at = "
        "%(now)s::timestamptz + make_interval(secs => least(3600, 2 ^ least(embedding_failures, 12))) "
        "WHERE asset_id = ANY(%(ids)s)",
        {"now": now, "ids": list(ids)},
    )


def promote_model(connection: sa.Connection, model_id: str) -> bool:
    """Serve this model's vectors from now on, if every approved asset has one. → whether it is live now."""
    head = lock_head(connection)
    live = connection.exec_driver_sql("SELECT live_model FROM recommender.catalogue_head").scalar_one()
    if live == model_id:
        return True
    missing = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM recommender.assets a WHERE a.deleted_at IS NULL AND a.status = 'approved' "
        "AND a.embedding_failures = 0 AND NOT EXISTS (SELECT FROM recommender.embeddings e WHERE "
        "e.asset_id = a.asset_id AND e.model_id = %s AND e.text_hash = a.text_hash))",
        (model_id,),
    ).scalar_one()
    if live is not None and missing:
        return False
    connection.exec_driver_sql(
        "UPDATE recommender.catalogue_head SET previous_model = live_model, promoted_at = now(), "
        "live_model = %s",
        (model_id,),
    )
    advance_head(connection, head + 1)
    return True


def forget_old_models(
    connection: sa.Connection, coming: str, *, keep_seconds: float, limit: int = 5_000
) -> int:
    """Delete vectors of models that serve no more. → how many, at most `limit`.

    Kept are those of the live model, of the `coming` one, and for `keep_seconds` after a promotion those of
    the model before, so that a promotion can be taken back without embedding anything again.
    """
    kept = (
        "SELECT live_model FROM recommender.catalogue_head WHERE live_model IS NOT NULL "
        "UNION ALL SELECT %(coming)s UNION ALL SELECT previous_model FROM recommender.catalogue_head WHERE previous_model IS NOT NULL "
        "AND promoted_at > now() - make_interval(secs => %(keep)s)"
    )
    values = {"coming": coming, "keep": keep_seconds, "limit": limit}
    connection.exec_driver_sql(
        f"DELETE FROM recommender.prototype_embeddings WHERE model_id NOT IN ({kept})", values
    )
    deleted = connection.exec_driver_sql(
        "DELETE FROM recommender.embeddings WHERE ctid = ANY(ARRAY(SELECT ctid FROM recommender.embeddings "
        f"WHERE model_id NOT IN ({kept}) LIMIT %(limit)s))",
        values,
    )
    return int(deleted.rowcount)


def load_prototypes(connection: sa.Connection, model_id: str, digest: bytes) -> bytes | None:
    row = connection.exec_driver_sql(
        "SELECT vectors FROM recommender.prototype_embeddings WHERE model_id = %s AND prototypes_hash = %s",
        (model_id, digest),
    ).one_or_none()
    return None if row is None else bytes(row[0])


def save_prototypes(connection: sa.Connection, model_id: str, digest: bytes, vectors: bytes) -> None:
    connection.exec_driver_sql(
        "INSERT INTO recommender.prototype_embeddings VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (model_id, digest, vectors),
    )
