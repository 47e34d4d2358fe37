"""Limits over one whole batch: no asset to too many recipients, none twice inside an account."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.recommendations import MAX_COUNT, RecommendationRequest

_MOST_EXCLUDED = 500


@dataclass(slots=True)
class Recipient:
    """One line of a batch: what it asks, the accounts it counts for, and the answer as far as it has come."""

    asked: RecommendationRequest
    accounts: frozenset[str] = frozenset()
    answer: Mapping[str, Any] | None = None
    refusal: Mapping[str, Any] | None = None  # the recommender's problem with this line
    items: list[dict[str, Any]] = field(default_factory=list)
    wants_more: bool = True  # the limits took some of what was offered, and there may be more

    @property
    def missing(self) -> int:
        return self.asked.count - len(self.items)


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

    def request(self, recipient: Recipient) -> RecommendationRequest:
        """Asks for more than is needed, and not for what has had its share already."""
        asked = recipient.asked
        if not self.is_limited:
            return asked
        used = [str(item["id"]) for item in recipient.items]
        for account in recipient.accounts if self.once_an_account else ():
            used += self._of_account[account]
        if self.max_per_asset is not None:
            used += [asset for asset, count in self._shown.items() if count >= self.max_per_asset]
        excluded = tuple(dict.fromkeys((*asked.exclude_ids, *used)))[:_MOST_EXCLUDED]
        # A line that was left short once stands beside many of its account.
        count = MAX_COUNT if recipient.answer is not None else min(MAX_COUNT, 2 * recipient.missing + 10)
        return asked.model_copy(update={"exclude_ids": excluded, "count": count})

    def take(self, recipient: Recipient, answer: Mapping[str, Any]) -> None:
        """Keep the best that the limits leave of an answer; it is used up by that."""
        recipient.answer = recipient.answer or answer
        if not self.is_limited:
            recipient.items, recipient.wants_more = list(answer["items"]), False
            return
        barred = [self._of_account[a] for a in recipient.accounts] if self.once_an_account else []
        refused = 0
        for item in answer["items"]:
            asset_id = str(item["id"])
            full = self.max_per_asset is not None and self._shown[asset_id] >= self.max_per_asset
            if recipient.missing == 0:
                break
            if full or any(asset_id in used for used in barred):
                refused += 1
                continue
            self._shown[asset_id] += 1
            for used in barred:
                used.add(asset_id)
            recipient.items.append({**item, "rank": len(recipient.items) + 1})
        recipient.wants_more = recipient.missing > 0 and refused > 0

    def finished(self, recipient: Recipient) -> dict[str, Any]:
        """The answer with what was kept. Only after `take`."""
        answer = dict(recipient.answer or {})
        if not self.is_limited:
            return answer
        warnings = [w for w in answer.get("warnings", ()) if w.get("code") != "fewer_than_asked"]
        if recipient.missing:
            found = f"{len(recipient.items)} of {recipient.asked.count}"
            detail = f"{found} assets were left by the limits of this batch."
            warnings.append({"code": "batch_limits", "detail": detail})
        return {**answer, "items": recipient.items, "warnings": warnings}
