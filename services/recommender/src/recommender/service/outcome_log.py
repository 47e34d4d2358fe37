"""Histories of accounts to calibrate on: from the database, or from files as they are imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from recommender.domain.identities import plain_traits, role_of
from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import OUTCOMES, UNKNOWN_TYPE, StageModel
from recommender.numeric.outcome_history import AccountHistory
from recommender.service.evaluation_data import LogUnreadable, moment, read_rows
from recommender.store import calibrations as store

MOST_ACCOUNTS = 4_000
"""Accounts without a report of the sales system that are read; the others are stood for by these."""
_AT_ONCE = 200


@dataclass(slots=True)
class _Account:
    signals: list[tuple[float, int, float, int]] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    closed: list[tuple[float, bool]] = field(default_factory=list)

    def hear(self, at: float, kind: str) -> None:
        if kind == "opportunity_opened":
            self.opened.append(at)
        else:
            self.closed.append((at, kind == "opportunity_won"))

    def history(self) -> AccountHistory:
        signals, closed = sorted(self.signals), sorted(self.closed)
        return AccountHistory(
            at=np.array([s[0] for s in signals], dtype=np.float64),
            type=np.array([s[1] for s in signals], dtype=np.int64),
            weight=np.array([s[2] for s in signals], dtype=np.float64),
            person=np.array([s[3] for s in signals], dtype=np.int64),
            opened=np.array(sorted(self.opened), dtype=np.float64),
            closed=np.array([c[0] for c in closed], dtype=np.float64),
            won=np.array([c[1] for c in closed], dtype=bool),
        )


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeLog:
    """`weights` [accounts]: how many accounts each history stands for."""

    histories: list[AccountHistory]
    weights: list[float]

    @property
    def outcome_count(self) -> int:
        return sum(history.outcome_count for history in self.histories)


def log_from_database(connection: sa.Connection, model: StageModel, kinds: SignalKinds) -> OutcomeLog:
    """All accounts that the sales system has spoken of, and an even sample of the others."""
    found: dict[int, _Account] = {}
    for account_id, kind, at in store.accounts_with_outcomes(connection):
        if kind in OUTCOMES:
            found.setdefault(account_id, _Account()).hear(at, kind)
    told = set(found)
    sampled, count = store.some_accounts(connection, MOST_ACCOUNTS)
    for account_id in sampled:
        found.setdefault(account_id, _Account())
    others = len(found) - len(told)
    share = (count - len(told)) / others if others else 1.0
    ids = list(found)
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        roles = {
            buyer: model.role_weight(role_of(plain_traits(traits)))
            for buyer, traits in store.people_traits(connection, part).items()
        }
        for account_id, buyer, at, kind, weight, of_type in store.account_signals(connection, part):
            role = roles.get(buyer, model.role_weight(None))
            index = _stage_type(model, kinds, kind, of_type)
            if index != UNKNOWN_TYPE and role > 0:
                found[account_id].signals.append((at, index, weight * role, buyer))
    return OutcomeLog(
        [found[one].history() for one in ids], [1.0 if one in told else max(share, 1.0) for one in ids]
    )


def log_from_files(
    signals: Sequence[Path], assets: Sequence[Path], model: StageModel, kinds: SignalKinds
) -> OutcomeLog:
    """Segment calls, NDJSON or gzip, that name an account by `groupId`. Raises LogUnreadable."""
    types = {str(row.get("id")): row.get("type") for path in assets for row in read_rows(path)}
    found: dict[str, _Account] = {}
    people: dict[str, int] = {}
    seen: set[str] = set()
    for row in (row for path in signals for row in read_rows(path)):
        message, account = (
            row.get("messageId"),
            row.get("groupId") or (row.get("context") or {}).get("groupId"),
        )
        if message is not None and str(message) in seen:
            continue
        seen.add(str(message))
        at, who = moment(row.get("timestamp")), row.get("userId") or row.get("anonymousId")
        if account is None or at is None or who is None or row.get("type") not in ("track", "page", "screen"):
            continue
        properties = row.get("properties") or {}
        event = str(row.get("event") or "")
        path = str(properties.get("path", ""))
        kind = kinds.kind_of_event(event) if row["type"] == "track" else kinds.kind_of_page(path)
        one = found.setdefault(str(account), _Account())
        if kind in OUTCOMES:
            one.hear(at, kind)
            continue
        of_type = types.get(str(properties.get("asset_id")))
        index = _stage_type(model, kinds, kind, of_type if isinstance(of_type, str) else None)
        if index != UNKNOWN_TYPE:
            one.signals.append((at, index, model.role_weight(None), people.setdefault(str(who), len(people))))
    if not found:
        raise LogUnreadable("no signal in the files names an account (groupId or context.groupId)")
    return OutcomeLog([one.history() for one in found.values()], [1.0] * len(found))


def latest(histories: Iterable[AccountHistory]) -> float:
    """The latest moment that the log speaks of, epoch seconds."""
    return max((float(a.max()) for h in histories for a in (h.at, h.opened, h.closed) if len(a)), default=0.0)


def _stage_type(model: StageModel, kinds: SignalKinds, kind: str, of_type: str | None) -> int:
    if kind not in kinds.names:
        return UNKNOWN_TYPE
    name = kinds.stage_signal_of(kind, of_type)
    return UNKNOWN_TYPE if name is None else model.signal_index.get(name, UNKNOWN_TYPE)
