"""The tables of placements: rules as they are now, and every version that there was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from recommender.domain.placements import PlacementChange, StoredPlacement
from recommender.store.assets import lock_head

_COLUMNS = "placement_id, version, rules, changed_at, changed_by"


def all_placements(connection: sa.Connection) -> list[StoredPlacement]:
    rows = connection.exec_driver_sql(
        f'SELECT {_COLUMNS} FROM recommender.placements ORDER BY placement_id COLLATE "C"'
    )
    return [StoredPlacement(*row) for row in rows]


def get_placement(connection: sa.Connection, placement_id: str) -> StoredPlacement | None:
    row = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM recommender.placements WHERE placement_id = %s", (placement_id,)
    ).one_or_none()
    return None if row is None else StoredPlacement(*row)


def lock_placements(connection: sa.Connection) -> int:
    """Take the writers' turn until commit, as writers of the catalogue do. → how many placements there are."""
    lock_head(connection)
    return int(connection.exec_driver_sql("SELECT count(*) FROM recommender.placements").scalar_one())


def put_placement(
    connection: sa.Connection, placement_id: str, rules: Mapping[str, Any], now: datetime, changed_by: str
) -> int:
    """Store rules; the caller holds the lock. → the version."""
    text = orjson.dumps(rules).decode()
    version = _note(connection, placement_id, text, now, changed_by)
    connection.exec_driver_sql(
        f"INSERT INTO recommender.placements ({_COLUMNS}) VALUES (%s, %s, %s::jsonb, %s, %s) "
        "ON CONFLICT (placement_id) DO UPDATE SET version = excluded.version, rules = excluded.rules, "
        "changed_at = excluded.changed_at, changed_by = excluded.changed_by",
        (placement_id, version, text, now, changed_by),
    )
    return version


def delete_placement(connection: sa.Connection, placement_id: str, now: datetime, changed_by: str) -> bool:
    """→ whether there was such a placement; the caller holds the lock."""
    found = connection.exec_driver_sql(
        "DELETE FROM recommender.placements WHERE placement_id = %s", (placement_id,)
    )
    if found.rowcount == 0:
        return False
    _note(connection, placement_id, None, now, changed_by)
    return True


def _note(
    connection: sa.Connection, placement_id: str, rules: str | None, now: datetime, changed_by: str
) -> int:
    version = connection.exec_driver_sql(
        "INSERT INTO recommender.placement_changes (placement_id, version, rules, changed_at, changed_by) "
        "SELECT %(id)s, coalesce(max(version), 0) + 1, %(rules)s::jsonb, %(now)s, %(by)s "
        "FROM recommender.placement_changes WHERE placement_id = %(id)s RETURNING version",
        {"id": placement_id, "rules": rules, "now": now, "by": changed_by},
    ).scalar_one()
    connection.exec_driver_sql(
        "UPDATE recommender.catalogue_head SET placements_revision = placements_revision + 1"
    )
    return int(version)


def changes_of(connection: sa.Connection, placement_id: str, limit: int) -> list[PlacementChange]:
    """Newest first."""
    rows = connection.exec_driver_sql(
        "SELECT version, rules, changed_at, changed_by FROM recommender.placement_changes "
        "WHERE placement_id = %s ORDER BY version DESC LIMIT %s",
        (placement_id, limit),
    )
    return [PlacementChange(*row) for row in rows]
