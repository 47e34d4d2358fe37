"""Signals and assets in agreement: pages that became assets, and types that changed after the signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Unannounced:
    """An asset whose type or address the buyers' states have not been told of."""

    asset_id: str
    type: str
    page: str


def unannounced(connection: sa.Connection, limit: int) -> list[Unannounced]:
    rows = connection.exec_driver_sql(
        "SELECT asset_id, type, url_key FROM recommender.assets WHERE folded_type IS DISTINCT FROM type "
        "OR attributed_key IS DISTINCT FROM url_key ORDER BY asset_id LIMIT %s",
        (limit,),
    )
    return [Unannounced(*row) for row in rows]


# Of two assets at one address the one that signals are given to when they come in.
_ATTRIBUTE = """
UPDATE recommender.signals s SET asset_id = a.asset_id, kind = CASE s.kind WHEN 'page' THEN 'view' ELSE s.kind END
FROM (SELECT url_key, min(asset_id COLLATE "C") AS asset_id FROM recommender.assets
      WHERE deleted_at IS NULL {which} GROUP BY url_key) a
WHERE s.page = a.url_key AND s.asset_id IS NULL AND s.page IS NOT NULL RETURNING s.identity_id
"""


def attribute(connection: sa.Connection, pages: Sequence[str] | None) -> int:
    """Give signals that named a page to the asset that lives there now; None looks at every page. → signals."""
    which = "" if pages is None else "AND url_key = ANY(%(pages)s)"
    rows = connection.exec_driver_sql(
        _ATTRIBUTE.format(which=which), {} if pages is None else {"pages": list(pages)}
    ).all()
    _mark_stale(connection, "SELECT unnest(%(ids)s::bigint[])", {"ids": sorted({int(r[0]) for r in rows})})
    return len(rows)


def announce(connection: sa.Connection, assets: Sequence[Unannounced]) -> None:
    """Have the states of all with a signal about these assets folded anew, and note what they were told."""
    ids = [one.asset_id for one in assets]
    _mark_stale(
        connection, "SELECT identity_id FROM recommender.signals WHERE asset_id = ANY(%(ids)s)", {"ids": ids}
    )
    connection.exec_driver_sql(
        "UPDATE recommender.assets a SET folded_type = t.type, attributed_key = t.page "
        "FROM unnest(%(ids)s::text[], %(types)s::text[], %(pages)s::text[]) AS t(asset_id, type, page) "
        "WHERE a.asset_id = t.asset_id",
        {"ids": ids, "types": [one.type for one in assets], "pages": [one.page for one in assets]},
    )


def _mark_stale(connection: sa.Connection, identities: str, parameters: dict[str, object]) -> None:
    connection.exec_driver_sql(
        "UPDATE recommender.buyers b SET version = b.version + 1, stale = true FROM (SELECT buyer_id FROM "
        "recommender.buyers WHERE buyer_id IN (SELECT buyer_id FROM recommender.identities "
        f"WHERE identity_id IN ({identities})) ORDER BY buyer_id FOR NO KEY UPDATE) l WHERE b.buyer_id = l.buyer_id",
        parameters,
    )
