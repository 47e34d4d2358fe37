"""The catalogue as the ranking sees it: an immutable picture of all assets, one row an asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = ("awareness", "consideration", "decision", "customer")
TAG_FIELDS = ("type", "language", "topics", "personas", "industries", "regions")


@dataclass(frozen=True, slots=True)
class AssetCard:
    """What is shown of an asset, and the tags that reasons speak of."""

    asset_id: str
    title: str
    url: str
    type: str
    language: str | None
    summary: str | None
    image_url: str | None
    topics: tuple[str, ...]
    personas: tuple[str, ...]
    industries: tuple[str, ...]
    regions: tuple[str, ...]
    equivalent_to: str | None
    stage_source: str  # editor | model | learned


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """N rows. A row is never changed: a changed asset gets a new row and its old one is no longer `alive`.

    `row_of` maps an id to its living row. `vectors` float32 [N, d], unit norm, or zeros where `has_vector`
    is False. Times are float64 epoch seconds; `expires_at` is +inf and `publish_at` -inf where none is set;
    `published_at` is the time that freshness counts from (publish_at, else when it was created).
    `stage` float32 [N, 4] over STAGES, rows sum to 1. `group` int32 [N]: equivalent assets share one.
    `tag_rows[field][value]`: int32 rows (living or not) that carry the tag.
    """

    revision: int
    model_id: str | None
    cards: Sequence[AssetCard]
    row_of: Mapping[str, int]
    vectors: NDArray[np.float32]
    has_vector: NDArray[np.bool_]
    alive: NDArray[np.bool_]
    approved: NDArray[np.bool_]
    publish_at: NDArray[np.float64]
    expires_at: NDArray[np.float64]
    published_at: NDArray[np.float64]
    stage: NDArray[np.float32]
    group: NDArray[np.int32]
    tag_rows: Mapping[str, Mapping[str, NDArray[np.int32]]]

    def __len__(self) -> int:
        return len(self.alive)

    def eligible(self, now: float) -> NDArray[np.bool_]:
        """bool [N]: what may be shown at `now`: alive, approved, published and not expired."""
        mask: NDArray[np.bool_] = (
            self.alive & self.approved & (self.publish_at <= now) & (self.expires_at > now)
        )
        return mask
