"""What validation looks up: assets by id, and message ids that were taken before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class AssetFacts:
    title: str
    type: str
    status: str


def assets_by_id(connection: sa.Connection, ids: Sequence[str]) -> Mapping[str, AssetFacts]:
    if not ids:
        return {}
    rows = connection.exec_driver_sql(
        "SELECT asset_id, title, type, status FROM recommender.assets "
        "WHERE asset_id = ANY(%s) AND deleted_at IS NULL",
        (list(ids),),
    )
    return {row[0]: AssetFacts(row[1], row[2], row[3]) for row in rows}


def known_keys(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Of these message keys (hexadecimal), those that are stored."""
    if not keys:
        return set()
    rows = connection.exec_driver_sql(
        "SELECT replace(message_key::text, '-', '') FROM recommender.signal_keys "
        "WHERE message_key = ANY(%s::uuid[])",
        (list(keys),),
    )
    return {row[0] for row in rows}
