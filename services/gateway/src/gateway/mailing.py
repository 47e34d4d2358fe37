"""Limits over one whole batch: no asset to too many recipients, none twice inside an account."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.recommendations import MAX_COUNT, RecommendationRequest

_MOST_EXCLUDED = 500


@dataclass(slots=True)
class Mailing:
    """What one batch has shown so far. Memory grows with assets and accounts, never with answers."""

    max_per_asset: int | None = None
    once_an_account: bool = False
    _shown: Counter[str] = field(default_factory=Counter)
    _of_account: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def is_limited(self) -> bool:
        return self.max_per_asset is not None or self.once_an_account

    def widened(self, asked: RecommendationRequest) -> RecommendationRequest:
        """Asks for more than is needed, and not for what has had its share already."""
        if not self.is_limited:
            return asked
        used = [asset for asset, count in self._shown.items() if count >= (self.max_per_asset or count + 1)]
        if self.once_an_account and asked.account_id is not None:
            used += self._of_account[asked.account_id]
        excluded = tuple(dict.fromkeys((*asked.exclude_ids, *used)))[:_MOST_EXCLUDED]
        count = min(MAX_COUNT, 2 * asked.count + 10)
        return asked.model_copy(update={"exclude_ids": excluded, "count": count})

    def chosen(self, asked: RecommendationRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The best of an answer to a widened request that the limits leave; they are used up by it."""
        if not self.is_limited:
            return dict(answer)
        account = self._of_account[asked.account_id] if asked.account_id is not None else set()
        items: list[dict[str, Any]] = []
        for item in answer["items"]:
            asset_id = str(item["id"])
            full = self.max_per_asset is not None and self._shown[asset_id] >= self.max_per_asset
            if len(items) == asked.count or full or (self.once_an_account and asset_id in account):
                continue
            self._shown[asset_id] += 1
            if self.once_an_account:
                account.add(asset_id)
            items.append({**item, "rank": len(items) + 1})
        warnings = [w for w in answer.get("warnings", ()) if w.get("code") != "fewer_than_asked"]
        if len(items) < asked.count:
            detail = f"{len(items)} of {asked.count} assets were left by the limits of this batch."
            warnings.append({"code": "batch_limits", "detail": detail})
        return {**answer, "items": items, "warnings": warnings}
