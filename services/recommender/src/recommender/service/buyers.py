"""What is known of one buyer or one account, told to the people of the firm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from contract.buyers import AccountMember, AccountOutput, BuyerOutput, RecentSignal
from recommender.domain.buyer_state import moment
from recommender.domain.catalogue import Catalogue
from recommender.domain.errors import AccountNotFound, BuyerNotFound
from recommender.domain.identities import Identity
from recommender.domain.profile import Profile
from recommender.numeric.surge import find_surges
from recommender.service.buyer_view import AccountView, BuyerReader, BuyerView, Member
from recommender.service.clock import Clock
from recommender.service.estimates import StageEstimate, StageEstimator
from recommender.service.replica import CatalogueReplica
from recommender.store import buyers as store
from servicekit.database import reading

# When, of which kind, about which asset: its id, title and type.
RecentEvent = tuple[datetime, str, str | None, str | None, str | None]

_RECENT_SIGNALS = 50
_TOPICS_SHOWN = 10
_HALF_LIFE_SECONDS = 90 * 86_400.0


class BuyerService:
    """Reads only; `erasure` removes."""

    def __init__(
        self,
        engine: sa.Engine,
        reader: BuyerReader,
        estimator: StageEstimator,
        replica: CatalogueReplica,
        clock: Clock,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._reader = reader
        self._estimator = estimator
        self._replica = replica
        self._clock = clock

    def buyer(self, buyer_id: str) -> BuyerOutput:
        """By a known id, or by an anonymous one where no known one has that name."""
        now = self._clock().timestamp()
        with reading(self._engine) as connection:
            view = self._find(connection, buyer_id)
            recent = store.recent_events(connection, view.buyer_id or 0, _RECENT_SIGNALS)
        catalogue = self._replica.snapshot.catalogue
        estimate = self._estimator.of_buyer(view, now)
        known = [i for i in view.identities if i.kind == "user"]
        return BuyerOutput(
            user_id=known[0].external_id if known else None,
            ids=tuple({"kind": i.kind, "id": i.external_id} for i in view.identities),
            account_id=None if view.account is None else view.account.row.external_id,
            traits=view.traits,
            signal_count=view.state.signal_count,
            first_seen_at=moment(view.state.first_at),
            last_seen_at=moment(view.state.last_at),
            topics=_topics([view.state.profile], catalogue, now),
            stage=self._estimator.shown(estimate, now, with_evidence=True),
            recent_signals=self._with_effects(recent, estimate),
        )

    def _with_effects(
        self, recent: Sequence[RecentEvent], estimate: StageEstimate
    ) -> tuple[RecentSignal, ...]:
        """Each signal, those that say something of the stage with their effect on it."""
        effects: dict[tuple[str, int], float] = {}
        for signal, at, effect in self._estimator.signal_effects(estimate):
            key = signal, round(at * 1000)
            effects[key] = round(effects.get(key, 0.0) + effect, 6)
        return tuple(
            RecentSignal(
                at=at,
                type=kind,
                asset_id=asset_id,
                title=title,
                # Of two signals of a kind at one moment the effect is told once.
                effect=effects.pop(
                    (self._estimator.stage_signal_of(kind, asset_type) or "", _milliseconds(at)), None
                ),
            )
            for at, kind, asset_id, title, asset_type in recent
        )

    def account(self, account_id: str) -> AccountOutput:
        now = self._clock().timestamp()
        with reading(self._engine) as connection:
            row = store.find_account(connection, account_id)
            if row is None:
                raise AccountNotFound(account_id)
            view = self._reader.read_account(connection, row)
        catalogue = self._replica.snapshot.catalogue
        estimate = self._estimator.of_account(view, now)
        last = [m.state.last_at for m in view.members if m.state.last_at is not None]
        return AccountOutput(
            account_id=row.external_id,
            traits=row.traits,
            stage=self._estimator.shown(estimate, now, with_evidence=True),
            buying_group=tuple(self._member(member, now) for member in view.members),
            surging_topics=self.surges(view, now),
            topics=_topics([m.state.profile for m in view.members], catalogue, now),
            signal_count=sum(m.state.signal_count for m in view.members),
            last_seen_at=moment(max(last, default=None)),
        )

    def _find(self, connection: sa.Connection, buyer_id: str) -> BuyerView:
        for identity in (Identity("user", buyer_id), Identity("anonymous", buyer_id)):
            view = self._reader.read(connection, identity, None)
            if view.buyer_id is not None:
                return view
        raise BuyerNotFound(buyer_id)

    def _member(self, member: Member, now: float) -> AccountMember:
        known = [i for i in member.identities if i.kind == "user"]
        alone = BuyerView(member.buyer_id, member.state, member.identities, None)
        estimate = self._estimator.of_buyer(alone, now)
        return AccountMember(
            user_id=known[0].external_id if known else None,
            anonymous=not known,
            role=member.role,
            stage=self._estimator.shown(estimate, now, with_evidence=False).name,
            last_seen_at=moment(member.state.last_at),
            signal_count=member.state.signal_count,
        )

    def surges(self, view: AccountView, now: float) -> tuple[dict[str, Any], ...]:
        """Topics that rise beyond the account's habit; engagements count at their last time."""
        catalogue = self._replica.snapshot.catalogue
        topics: dict[str, int] = {}
        at: list[float] = []
        topic: list[int] = []
        person: list[int] = []
        for number, member in enumerate(view.members):
            profile = member.state.profile
            for asset_id, last in zip(profile.asset_ids, profile.last_at, strict=True):
                row = catalogue.row_of.get(asset_id)
                for name in () if row is None else catalogue.cards[row].topics:
                    at.append(float(last))
                    topic.append(topics.setdefault(name, len(topics)))
                    person.append(number)
        if not topics:
            return ()
        found = find_surges(
            self._estimator.model.surge,
            np.array(at),
            np.array(topic, dtype=np.int64),
            np.array(person, dtype=np.int64),
            np.ones(len(at)),
            len(topics),
            now,
        )
        return tuple(
            {
                "topic": name,
                "recent": int(found.recent[i]),
                "before": int(found.baseline[i]),
                "people": int(found.people[i]),
                "p_value": round(float(found.p_value[i]), 5),
            }
            for name, i in topics.items()
            if found.surging[i]
        )


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _topics(profiles: Sequence[Profile], catalogue: Catalogue, now: float) -> tuple[dict[str, Any], ...]:
    """Topics by engagement weight, halved every 90 days, as shares of the whole."""
    totals: dict[str, float] = {}
    for profile in profiles:
        decayed = profile.weights * np.exp2(-(now - profile.last_at) / _HALF_LIFE_SECONDS)
        for asset_id, weight in zip(profile.asset_ids, decayed, strict=True):
            row = catalogue.row_of.get(asset_id)
            for name in () if row is None else catalogue.cards[row].topics:
                totals[name] = totals.get(name, 0.0) + float(weight)
    whole = sum(totals.values())
    ordered = sorted(totals, key=lambda name: (-totals[name], name))[:_TOPICS_SHOWN]
    return tuple({"topic": name, "share": round(totals[name] / whole, 4)} for name in ordered if whole > 0)
