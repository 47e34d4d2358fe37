"""Buyers and accounts on the wire."""

from __future__ import annotations

from typing import Any

from contract.base import Id, Time, WireModel
from contract.recommendations import BuyerStageEstimate


class RecentSignal(WireModel):
    at: Time
    type: str
    asset_id: str | None
    title: str | None
    effect: float | None = None


class BuyerOutput(WireModel):
    """What is known about one buyer; ids are all those that lead to them."""

    user_id: Id | None
    ids: tuple[dict[str, str], ...]
    account_id: str | None
    traits: dict[str, Any]
    signal_count: int
    first_seen_at: Time | None
    last_seen_at: Time | None
    topics: tuple[dict[str, Any], ...]
    stage: BuyerStageEstimate
    recent_signals: tuple[RecentSignal, ...]


class AccountMember(WireModel):
    user_id: str | None
    anonymous: bool
    role: str | None
    stage: str
    last_seen_at: Time | None
    signal_count: int


class AccountOutput(WireModel):
    account_id: Id
    traits: dict[str, Any]
    stage: BuyerStageEstimate
    buying_group: tuple[AccountMember, ...]
    surging_topics: tuple[dict[str, Any], ...]
    topics: tuple[dict[str, Any], ...]
    signal_count: int
    last_seen_at: Time | None


class ErasureReceipt(WireModel):
    receipt_id: str
    erased_at: Time
    identities: int
    signals: int
    already_erased: bool = False
