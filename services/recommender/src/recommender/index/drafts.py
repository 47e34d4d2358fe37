"""A catalogue with one draft laid over it, as if the draft were approved and published now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import TAG_FIELDS, AssetCard, Catalogue


def with_draft(
    catalogue: Catalogue, card: AssetCard, stage: NDArray[np.float32], vector: NDArray[np.float32], now: float
) -> Catalogue:
    """The draft is the last row; the asset that it would replace is gone. `stage` float32 [4] sums to 1.

    `vector` float32 [d], unit norm, of the catalogue's model. `now`: epoch seconds, the time of publication.
    The catalogue given is not changed.
    """
    row = len(catalogue)
    alive = np.append(catalogue.alive, True)
    replaced = catalogue.row_of.get(card.asset_id)
    if replaced is not None:
        alive[replaced] = False
    group = np.append(catalogue.group, row).astype(np.int32)
    original = catalogue.row_of.get(card.equivalent_to) if card.equivalent_to is not None else None
    if original is not None:
        group[row] = group[original]
    elif replaced is not None:
        group[row] = group[replaced]
    return replace(
        catalogue,
        cards=(*catalogue.cards, card),
        row_of={**catalogue.row_of, card.asset_id: row},
        vectors=np.concatenate([catalogue.vectors, vector[None, :]]).astype(np.float32, copy=False),
        has_vector=np.append(catalogue.has_vector, True),
        alive=alive,
        approved=np.append(catalogue.approved, True),
        publish_at=np.append(catalogue.publish_at, -np.inf),
        expires_at=np.append(catalogue.expires_at, np.inf),
        published_at=np.append(catalogue.published_at, now),
        stage=np.concatenate([catalogue.stage, stage[None, :]]).astype(np.float32, copy=False),
        group=group,
        tag_rows=_tagged(catalogue, card, row),
    )


def _tagged(catalogue: Catalogue, card: AssetCard, row: int) -> Mapping[str, Mapping[str, NDArray[np.int32]]]:
    tagged = {field: dict(catalogue.tag_rows.get(field, {})) for field in TAG_FIELDS}
    for field in TAG_FIELDS:
        value = getattr(card, field)
        for one in () if value is None else (value,) if isinstance(value, str) else value:
            rows = tagged[field].get(one, np.empty(0, dtype=np.int32))
            tagged[field][one] = np.append(rows, row).astype(np.int32)
    return tagged
