"""Which model serves, which one was taken back, and how a coming one compared with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from recommender.numeric.model_comparison import ModelComparison
from recommender.store.assets import advance_head, lock_head


@dataclass(frozen=True, slots=True)
class ModelState:
    """`held` is a model that was taken back: it is not promoted by itself."""

    live: str | None
    previous: str | None
    held: str | None
    promoted_at: datetime | None


class NoWayBack(Exception):
    """There is no model before the one that serves, or its vectors are gone; the message says which."""


def read_models(connection: sa.Connection) -> ModelState:
    row = connection.exec_driver_sql(
        "SELECT live_model, previous_model, held_model, promoted_at FROM recommender.catalogue_head"
    ).one()
    return ModelState(row[0], row[1], row[2], row[3])


_LIVING = "a.deleted_at IS NULL AND a.status = 'approved'"
_HAS = (
    "EXISTS (SELECT FROM recommender.embeddings e WHERE e.asset_id = a.asset_id AND e.model_id = %(model)s "
    "AND e.text_hash = a.text_hash)"
)


def coverage(connection: sa.Connection, model_id: str) -> tuple[int, int]:
    """→ (approved assets that have a vector of this model, approved assets)."""
    row = connection.exec_driver_sql(
        f"SELECT count(*) FILTER (WHERE {_HAS}), count(*) FROM recommender.assets a WHERE {_LIVING}",
        {"model": model_id},
    ).one()
    return int(row[0]), int(row[1])


def is_complete(connection: sa.Connection, model_id: str) -> bool:
    """Whether every approved asset has a vector of this model, but for those that the embedder refused."""
    return not connection.exec_driver_sql(
        f"SELECT EXISTS (SELECT FROM recommender.assets a WHERE {_LIVING} AND a.embedding_failures = 0 "
        f"AND NOT {_HAS})",
        {"model": model_id},
    ).scalar_one()


_PAIRS = f"""
SELECT a.asset_id, l.vector, c.vector FROM recommender.assets a
JOIN recommender.embeddings l ON l.asset_id = a.asset_id AND l.model_id = %(live)s AND l.text_hash = a.text_hash
JOIN recommender.embeddings c ON c.asset_id = a.asset_id AND c.model_id = %(coming)s AND c.text_hash = a.text_hash
WHERE {_LIVING} ORDER BY a.asset_id
"""
Vector = NDArray[np.float32]


def vector_pairs(connection: sa.Connection, live: str, coming: str) -> Iterator[tuple[str, Vector, Vector]]:
    """→ (asset id, its vector of `live`, its vector of `coming`) of every approved asset that has both."""
    for row in connection.exec_driver_sql(_PAIRS, {"live": live, "coming": coming}):
        yield row[0], np.frombuffer(row[1], dtype="<f4"), np.frombuffer(row[2], dtype="<f4")


def save_comparison(
    connection: sa.Connection, model_id: str, against: str, found: ModelComparison, now: datetime
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO recommender.model_comparisons VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (model_id, against) DO UPDATE SET compared_at = excluded.compared_at, "
        "assets = excluded.assets, overlap = excluded.overlap, score_shift = excluded.score_shift, "
        "separation = excluded.separation, stage_shift = excluded.stage_shift, recall = excluded.recall, "
        "findings = excluded.findings",
        (
            model_id,
            against,
            now,
            found.assets,
            found.overlap,
            found.score_shift,
            found.separation,
            found.stage_shift,
            found.recall,
            list(found.findings),
        ),
    )


def comparisons(connection: sa.Connection) -> list[tuple[str, str, datetime, ModelComparison]]:
    """→ (model, the one it was held against, when, what came out), the newest first."""
    rows = connection.exec_driver_sql(
        "SELECT model_id, against, compared_at, assets, overlap, score_shift, separation, stage_shift, recall, "
        "findings FROM recommender.model_comparisons ORDER BY compared_at DESC LIMIT 20"
    )
    return [(row[0], row[1], row[2], _comparison(row)) for row in rows]


def _comparison(row: Sequence[Any]) -> ModelComparison:
    return ModelComparison(row[3], row[4], row[5], row[6], row[7], row[8], tuple(row[9]))


def take_back(connection: sa.Connection) -> tuple[str, str]:
    """Serve the model before again, and hold the present one back. → (serves now, was taken back).

    Raises NoWayBack. Replicas change over with their next answer.
    """
    head = lock_head(connection)
    state = read_models(connection)
    if state.live is None or state.previous is None:
        raise NoWayBack("There is no model before the one that serves.")
    have, count = coverage(connection, state.previous)
    if count and not have:
        raise NoWayBack(f"The vectors of {state.previous} are gone: embed them again by serving that model.")
    connection.exec_driver_sql(
        "UPDATE recommender.catalogue_head SET live_model = previous_model, previous_model = live_model, "
        "held_model = live_model, promoted_at = now()"
    )
    advance_head(connection, head + 1)
    return state.previous, state.live


def release(connection: sa.Connection, model_id: str) -> None:
    """Let a model that was taken back be promoted again."""
    lock_head(connection)
    connection.exec_driver_sql(
        "UPDATE recommender.catalogue_head SET held_model = NULL WHERE held_model = %s", (model_id,)
    )
