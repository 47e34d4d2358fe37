"""A buyer's rights: everything kept about them handed out, or taken away with a receipt."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa

from contract.buyers import ErasureReceipt
from recommender.domain.errors import BuyerNotFound
from recommender.service.buyers import BuyerService
from recommender.service.clock import Clock
from recommender.store import erasure as store
from recommender.store import exports
from servicekit.database import reading


class ErasureService:
    """Works by any of a buyer's ids."""

    def __init__(self, engine: sa.Engine, buyers: BuyerService, clock: Clock) -> None:
        self._engine = engine
        self._buyers = buyers
        self._clock = clock

    def erase(self, buyer_id: str) -> ErasureReceipt:
        """Erase; doing it again gives the same receipt. Raises BuyerNotFound for an id never seen."""
        now = self._clock()
        with self._engine.begin() as connection:
            buyers, identities = store.identities_of(connection, buyer_id)
            before = store.tombstone_of(connection, buyer_id)
            if not identities and before is not None:
                return ErasureReceipt(
                    receipt_id=before[0], erased_at=before[1], identities=0, signals=0, already_erased=True
                )
            if not identities:
                if not store.traces_without_identity(connection, buyer_id):
                    raise BuyerNotFound(buyer_id)
                identities = store.both_kinds(buyer_id)
            receipt_id = secrets.token_hex(16)
            signals = store.erase(connection, buyers, identities, receipt_id, now)
        known = sum(identity_id != store.NO_IDENTITY for identity_id, _ in identities)
        return ErasureReceipt(receipt_id=receipt_id, erased_at=now, identities=known, signals=signals)

    def export(self, buyer_id: str) -> dict[str, Any]:
        """Everything that an erasure would take, as plain JSON: none of it is left out."""
        profile = self._buyers.buyer(buyer_id)
        with reading(self._engine) as connection:
            buyers, identities = store.identities_of(connection, buyer_id)
            kept = exports.everything(connection, sorted(buyers), identities)
        return {"buyer": profile.model_dump(), **kept}
