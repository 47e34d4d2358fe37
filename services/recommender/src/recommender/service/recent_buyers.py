"""The most recently active buyers, read in bulk: whom a preview and the figures of an asset look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from recommender.service.buyer_view import AccountView, BuyerReader, BuyerView
from recommender.service.folding import Folder
from recommender.store import buyers as store
from recommender.store.buyers import BuyerRow

_BLOCK = 100


class RecentBuyers:
    """States as they were last folded, at most moments old; each account is read once."""

    def __init__(self, folder: Folder, reader: BuyerReader) -> None:
        self._folder = folder
        self._reader = reader

    def count(self, connection: sa.Connection) -> int:
        return store.profile_count(connection)

    def views(self, connection: sa.Connection, limit: int) -> Iterator[BuyerView]:
        """At most `limit` buyers, those with the newest signals first; read as they are asked for."""
        yield from self._views(connection, store.recently_active(connection, limit, self._folder.fingerprint))

    def views_of(self, connection: sa.Connection, buyer_ids: Sequence[int]) -> Iterator[BuyerView]:
        """These buyers, those that there still are."""
        yield from self._views(connection, store.buyer_rows(connection, buyer_ids, self._folder.fingerprint))

    def _views(self, connection: sa.Connection, rows: Sequence[BuyerRow]) -> Iterator[BuyerView]:
        identities = store.buyer_identities(connection, [row.buyer_id for row in rows])
        accounts: dict[int, AccountView] = {}
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            of = {row.account_id for row in block if row.account_id is not None}
            accounts |= self._reader.read_accounts(connection, of - accounts.keys())
            for row in block:
                yield BuyerView(
                    row.buyer_id,
                    self._folder.stored_state(row),
                    identities.get(row.buyer_id, ()),
                    None if row.account_id is None else accounts.get(row.account_id),
                )
