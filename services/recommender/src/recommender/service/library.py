"""The studio's library: assets without their texts, kept by the filters of the API, and their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from contract.assets import AssetOutput
from recommender.domain.catalogue import TAG_FIELDS, Catalogue
from recommender.domain.filters import parse_filter
from recommender.service.asset_records import output_of
from recommender.service.replica import CatalogueReplica
from recommender.store import assets as store
from recommender.store.assets import AssetQuery
from servicekit.database import reading


@dataclass(frozen=True, slots=True)
class LibraryPage:
    """`total` counts what fits the filters; `after` leads to the next page."""

    assets: list[AssetOutput]
    total: int
    after: tuple[datetime, str] | None


class LibraryService:
    def __init__(self, engine: sa.Engine, replica: CatalogueReplica) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._replica = replica

    def page(self, query: AssetQuery, filter_tree: Mapping[str, Any] | None) -> LibraryPage:
        """Filters mean what they mean for recommendations, drafts and archived assets included.

        Raises FilterInvalid.
        """
        with reading(self._engine) as connection:
            catalogue = self._replica.ensure(connection, *store.read_head(connection)).catalogue
            only = None if filter_tree is None else _fitting(catalogue, filter_tree)
            found, total = store.list_assets(connection, query, catalogue.model_id, only, bodies=False)
        last = found[-1] if len(found) == query.page_size else None
        return LibraryPage(
            [output_of(asset, catalogue) for asset in found],
            total,
            None if last is None else (last.updated_at, last.record.asset_id),
        )

    def named(self, ids: Sequence[str]) -> list[AssetOutput]:
        """As `page` shows them, in the order of `ids`; what is deleted by now is left out."""
        query = AssetQuery(page_size=len(ids))
        with reading(self._engine) as connection:
            catalogue = self._replica.ensure(connection, *store.read_head(connection)).catalogue
            found, _ = store.list_assets(connection, query, catalogue.model_id, ids, bodies=False)
        by_id = {asset.record.asset_id: asset for asset in found}
        return [output_of(by_id[asset_id], catalogue) for asset_id in ids if asset_id in by_id]

    def tags(self, most: int) -> dict[str, list[tuple[str, int]]]:
        """Per field its values with how many assets carry them, the commonest first, at most `most` each."""
        catalogue = self._replica.snapshot.catalogue
        found: dict[str, list[tuple[str, int]]] = {}
        for field in TAG_FIELDS:
            counted = [
                (value, int(catalogue.alive[rows].sum()))
                for value, rows in catalogue.tag_rows.get(field, {}).items()
            ]
            common = sorted((one for one in counted if one[1]), key=lambda one: (-one[1], one[0]))
            found[field] = common[:most]
        return found


def _fitting(catalogue: Catalogue, filter_tree: Mapping[str, Any]) -> list[str]:
    rows = np.flatnonzero(parse_filter(dict(filter_tree)).mask(catalogue) & catalogue.alive)
    return [catalogue.cards[row].asset_id for row in rows.tolist()]
