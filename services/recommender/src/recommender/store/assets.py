"""The catalogue's tables: assets, their revisions and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from recommender.domain.assets import AssetRecord, StoredAsset, url_key
from recommender.store.driver import Question, Rows

_RECORD_COLUMNS = (
    "asset_id, title, url, summary, body, type, language, topics, personas, industries, regions, stages, "
    "status, publish_at, expires_at, image_url, equivalent_to, metadata"
)
_STORED_COLUMNS = (
    "a."
    + _RECORD_COLUMNS.replace(", ", ", a.")
    + ", a.revision, a.created_at, a.updated_at, CASE WHEN e.asset_id IS NOT NULL THEN e.model_id END"
)
_JOIN_EMBEDDING = (
    "LEFT JOIN recommender.embeddings e ON e.asset_id = a.asset_id AND e.model_id = %(model)s "
    "AND e.text_hash = a.text_hash"
)

_UPSERT = f"""
INSERT INTO recommender.assets AS a ({_RECORD_COLUMNS}, revision, change, record_hash, text_hash, url_key,
                                     created_at, updated_at)
VALUES (%(asset_id)s, %(title)s, %(url)s, %(summary)s, %(body)s, %(type)s, %(language)s, %(topics)s, %(personas)s,
        %(industries)s, %(regions)s, %(stages)s::jsonb, %(status)s, %(publish_at)s, %(expires_at)s, %(image_url)s,
        %(equivalent_to)s, %(metadata)s::jsonb, %(revision)s, %(revision)s, %(record_hash)s, %(text_hash)s,
        %(url_key)s, %(now)s, %(now)s)
ON CONFLICT (asset_id) DO UPDATE SET
    title = excluded.title, url = excluded.url, summary = excluded.summary, body = excluded.body,
    type = excluded.type, language = excluded.language, topics = excluded.topics, personas = excluded.personas,
    industries = excluded.industries, regions = excluded.regions, stages = excluded.stages,
    status = excluded.status, publish_at = excluded.publish_at, expires_at = excluded.expires_at,
    image_url = excluded.image_url, equivalent_to = excluded.equivalent_to, metadata = excluded.metadata,
    revision = excluded.revision, change = excluded.change, record_hash = excluded.record_hash,
    text_hash = excluded.text_hash, url_key = excluded.url_key, updated_at = excluded.updated_at,
    created_at = CASE WHEN a.deleted_at IS NULL THEN a.created_at ELSE excluded.created_at END,
    deleted_at = NULL, embedding_failures = 0, embedding_retry_at = NULL
"""

# A deleted asset leaves its id and revision, so that replicas learn of it, and nothing else.
_DELETE = """
UPDATE recommender.assets SET deleted_at = %(now)s, updated_at = %(now)s, revision = %(revision)s,
    change = %(revision)s, title = '', url = '', url_key = '', summary = NULL, body = NULL, topics = '{}',
    personas = '{}', industries = '{}', regions = '{}', stages = NULL, status = 'archived', image_url = NULL,
    metadata = '{}', record_hash = '\\x', text_hash = '\\x'
WHERE asset_id = %(asset_id)s AND deleted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """What became of one record: whether it changed anything, and the revision it is at now."""

    result: Literal["stored", "unchanged"]
    revision: int


@dataclass(frozen=True, slots=True)
class AssetQuery:
    """A page of the list: filters are all optional; `after` is the last (updated_at, id) of the page before."""

    status: str | None = None
    type: str | None = None
    stage: str | None = None
    text: str | None = None
    page_size: int = 50
    after: tuple[datetime, str] | None = None


def _record(row: Sequence[Any]) -> AssetRecord:
    return AssetRecord(
        asset_id=row[0],
        title=row[1],
        url=row[2],
        summary=row[3],
        body=row[4],
        type=row[5],
        language=row[6],
        topics=tuple(row[7]),
        personas=tuple(row[8]),
        industries=tuple(row[9]),
        regions=tuple(row[10]),
        stages=row[11],
        status=row[12],
        publish_at=row[13],
        expires_at=row[14],
        image_url=row[15],
        equivalent_to=row[16],
        metadata=row[17],
    )


def _stored(row: Sequence[Any]) -> StoredAsset:
    return StoredAsset(_record(row), row[18], row[19], row[20], row[21])


def lock_head(connection: sa.Connection) -> int:
    """Take the catalogue's turn until commit; every writer starts here. → the newest revision."""
    return int(
        connection.exec_driver_sql("SELECT revision FROM recommender.catalogue_head FOR UPDATE").scalar_one()
    )


def advance_head(connection: sa.Connection, revision: int) -> None:
    connection.exec_driver_sql("UPDATE recommender.catalogue_head SET revision = %s", (revision,))
    connection.exec_driver_sql("SELECT pg_notify('foreword_catalogue', %s)", (str(revision),))


def read_head(connection: sa.Connection) -> tuple[int, str | None]:
    """→ (newest revision, the model whose vectors are served)."""
    row = connection.exec_driver_sql("SELECT revision, live_model FROM recommender.catalogue_head").one()
    return int(row[0]), row[1]


HEADS = Question("SELECT revision, live_model, placements_revision FROM recommender.catalogue_head")


def heads_of(rows: Rows) -> tuple[int, str | None, int]:
    """The answer to HEADS → (newest revision, the model whose vectors are served, newest revision of the
    placements' rules).
    """
    [row] = rows
    return int(row[0]), row[1], int(row[2])


def unchanged_until(connection: sa.Connection, revision: int) -> dict[str, int]:
    """The change number of every living asset that has not changed after `revision`."""
    rows = connection.exec_driver_sql(
        "SELECT asset_id, change FROM recommender.assets WHERE change <= %s AND deleted_at IS NULL",
        (revision,),
    )
    return {row[0]: int(row[1]) for row in rows.all()}


def changed_after(connection: sa.Connection, revision: int) -> set[str]:
    """Every asset that changed after `revision`, those deleted among them."""
    rows = connection.exec_driver_sql(
        "SELECT asset_id FROM recommender.assets WHERE change > %s", (revision,)
    )
    return {row[0] for row in rows.all()}


def get_asset(connection: sa.Connection, asset_id: str, model_id: str | None) -> StoredAsset | None:
    row = connection.exec_driver_sql(
        f"SELECT {_STORED_COLUMNS} FROM recommender.assets a {_JOIN_EMBEDDING} "
        "WHERE a.asset_id = %(asset_id)s AND a.deleted_at IS NULL",
        {"asset_id": asset_id, "model": model_id},
    ).one_or_none()
    return None if row is None else _stored(row)


def write_assets(
    connection: sa.Connection, records: Sequence[AssetRecord], now: datetime
) -> list[WriteOutcome]:
    """Insert or change; equal records are left alone. The caller holds the head's lock (`lock_head`).

    Ids must be distinct within one call.
    """
    revision = lock_head(connection)
    found = connection.exec_driver_sql(
        "SELECT asset_id, record_hash, revision FROM recommender.assets WHERE asset_id = ANY(%s)",
        ([r.asset_id for r in records],),
    )
    existing = {asset_id: (bytes(record_hash), at) for asset_id, record_hash, at in found}
    outcomes: list[WriteOutcome] = []
    changed: list[dict[str, Any]] = []
    for record in records:
        record_hash = record.record_hash()
        known = existing.get(record.asset_id)
        if known is not None and known[0] == record_hash:
            outcomes.append(WriteOutcome("unchanged", known[1]))
            continue
        revision += 1
        outcomes.append(WriteOutcome("stored", revision))
        changed.append(_parameters(record, record_hash, revision, now))
    if changed:
        connection.exec_driver_sql(_UPSERT, changed)
        advance_head(connection, revision)
    return outcomes


def _parameters(record: AssetRecord, record_hash: bytes, revision: int, now: datetime) -> dict[str, Any]:
    return {
        "asset_id": record.asset_id,
        "title": record.title,
        "url": record.url,
        "summary": record.summary,
        "body": record.body,
        "type": record.type,
        "language": record.language,
        "topics": list(record.topics),
        "personas": list(record.personas),
        "industries": list(record.industries),
        "regions": list(record.regions),
        "stages": None if record.stages is None else orjson.dumps(record.stages).decode(),
        "status": record.status,
        "publish_at": record.publish_at,
        "expires_at": record.expires_at,
        "image_url": record.image_url,
        "equivalent_to": record.equivalent_to,
        "metadata": orjson.dumps(record.metadata).decode(),
        "revision": revision,
        "record_hash": record_hash,
        "text_hash": record.text_hash(),
        "url_key": url_key(record.url),
        "now": now,
    }


def delete_asset(connection: sa.Connection, asset_id: str, now: datetime) -> bool:
    """→ whether there was such an asset. Its embeddings go with it."""
    revision = lock_head(connection) + 1
    parameters = {"asset_id": asset_id, "now": now, "revision": revision}
    if connection.exec_driver_sql(_DELETE, parameters).rowcount == 0:
        return False
    connection.exec_driver_sql("DELETE FROM recommender.embeddings WHERE asset_id = %s", (asset_id,))
    advance_head(connection, revision)
    return True


def list_assets(
    connection: sa.Connection,
    query: AssetQuery,
    model_id: str | None,
    only_ids: Sequence[str] | None = None,
    *,
    bodies: bool = True,
) -> tuple[list[StoredAsset], int]:
    """A page, newest change first, without bodies where nobody reads them. → (assets, how many in all)."""
    conditions = ["a.deleted_at IS NULL"]
    values: dict[str, Any] = {"model": model_id, "limit": query.page_size}
    for name in ("status", "type"):
        if (value := getattr(query, name)) is not None:
            conditions.append(f"a.{name} = %({name})s")
            values[name] = value
    if query.text:
        conditions.append("(a.title ILIKE %(text)s OR a.summary ILIKE %(text)s OR a.asset_id = %(exact)s)")
        escaped = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values |= {"text": f"%{escaped}%", "exact": query.text}
    if only_ids is not None:
        conditions.append("a.asset_id = ANY(%(only)s)")
        values["only"] = list(only_ids)
    where = " AND ".join(conditions)
    total = connection.exec_driver_sql(f"SELECT count(*) FROM recommender.assets a WHERE {where}", values)
    after = ""
    if query.after is not None:
        after = " AND (a.updated_at, a.asset_id) < (%(after_at)s, %(after_id)s)"
        values |= {"after_at": query.after[0], "after_id": query.after[1]}
    columns = _STORED_COLUMNS if bodies else _STORED_COLUMNS.replace("a.body", "NULL::text")
    rows = connection.exec_driver_sql(
        f"SELECT {columns} FROM recommender.assets a {_JOIN_EMBEDDING} WHERE {where}{after} "
        "ORDER BY a.updated_at DESC, a.asset_id DESC LIMIT %(limit)s",
        values,
    )
    return [_stored(row) for row in rows], int(total.scalar_one())


def asset_ids_by_url(connection: sa.Connection, keys: Sequence[str]) -> Mapping[str, str]:
    """`url_key` → asset id, for signals that name a page and not an asset."""
    if not keys:
        return {}
    rows = connection.exec_driver_sql(
        'SELECT url_key, min(asset_id COLLATE "C") FROM recommender.assets '
        "WHERE url_key = ANY(%s) AND deleted_at IS NULL GROUP BY url_key",
        (list(keys),),
    )
    return {row[0]: row[1] for row in rows}
