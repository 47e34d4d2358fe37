"""What a slot of a mail shows: chosen once, the same at every opening, an expired asset by its equivalent."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from contract.email import EmailSlotRequest, Replacement
from contract.recommendations import (
    RecommendationRequest,
    RecommendationResponse,
    RecommendedAsset,
    Warning,
)
from recommender.domain.catalogue import Catalogue
from recommender.domain.errors import AssetNotFound
from recommender.domain.identities import Identity
from recommender.service.answer_rendering import described, likeliest_stage, meta, shown_until, tier_named
from recommender.service.clock import Clock
from recommender.service.recommendations import RecommendationService
from recommender.service.replica import CatalogueReplica, Snapshot
from recommender.store import email_slots as store
from recommender.store.assets import read_head
from recommender.store.email_slots import SlotKey, StoredSlot
from servicekit import logs
from servicekit.database import reading
from servicekit.errors import FieldProblem, Unprocessable

_AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)


class EmailSlotService:
    def __init__(
        self,
        engine: sa.Engine,
        recommendations: RecommendationService,
        replica: CatalogueReplica,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._recommendations = recommendations
        self._replica = replica
        self._clock = clock
        self._log = logs.get("recommender")

    def answer(self, request: EmailSlotRequest) -> RecommendationResponse:
        """The slot's assets. While the database is away the answer is for anybody, and is not kept."""
        key = SlotKey(request.send_id, _recipient(request), request.slot)
        asked = _plain(request)
        try:
            with reading(self._engine) as connection:
                stored = store.find(connection, key)
                snapshot = self._replica.ensure(connection, *read_head(connection)[:2])
            if stored is None:
                return self._choose(key, asked)
            return self._again(key, asked, stored, snapshot)
        except _AWAY as error:
            self._log.warning("email_slot_not_kept", error=type(error).__name__)
            return self._recommendations.recommend(asked)

    def replacement(self, asset_id: str) -> Replacement:
        """What a link to this asset leads to now. Raises `AssetNotFound` where there is nothing left."""
        with reading(self._engine) as connection:
            snapshot = self._replica.ensure(connection, *read_head(connection)[:2])
            found = self._shown_as(connection, snapshot.catalogue, asset_id)
        if found is None:
            raise AssetNotFound(asset_id)
        card = snapshot.catalogue.cards[snapshot.catalogue.row_of[found]]
        return Replacement(id=card.asset_id, url=card.url)

    def accounts(self, recipients: Sequence[Identity]) -> list[str | None]:
        """Each recipient's account as the log has it, in order; None for who is unknown or in none."""
        with reading(self._engine) as connection:
            found = store.accounts_of(connection, recipients)
        return [found.get(recipient) for recipient in recipients]

    def _choose(self, key: SlotKey, asked: RecommendationRequest) -> RecommendationResponse:
        answer = self._recommendations.recommend(asked)
        if answer.meta.degraded or not answer.items:
            return answer
        chosen = StoredSlot(
            answer.recommendation_id, answer.meta.tier, tuple(item.id for item in answer.items)
        )
        with self._engine.begin() as connection:
            kept = store.keep(connection, key, chosen, self._clock())
        if kept == chosen:
            return answer
        # Two openings at once: the first one counts.
        return self._again(key, asked, kept, self._replica.snapshot)

    def _again(
        self, key: SlotKey, asked: RecommendationRequest, stored: StoredSlot, snapshot: Snapshot
    ) -> RecommendationResponse:
        catalogue = snapshot.catalogue
        shown: list[str] = []
        with reading(self._engine) as connection:
            for asset_id in stored.asset_ids:
                found = self._shown_as(connection, catalogue, asset_id, without=shown)
                if found is not None:
                    shown.append(found)
        wanted = min(len(stored.asset_ids), asked.count)
        if len(shown) < wanted:
            shown += self._more(asked, stored, shown, wanted - len(shown))
        if tuple(shown) != stored.asset_ids:
            with self._engine.begin() as connection:
                store.change(connection, key, shown)
        catalogue = self._replica.snapshot.catalogue
        return self._response(stored, shown[: asked.count], catalogue, asked.count)

    def _more(
        self, asked: RecommendationRequest, stored: StoredSlot, shown: Sequence[str], count: int
    ) -> list[str]:
        """In place of what is gone and has no other form: what would be recommended now."""
        known = (*asked.exclude_ids, *stored.asset_ids, *shown)[:500]
        answer = self._recommendations.recommend(
            asked.model_copy(update={"exclude_ids": known, "count": count})
        )
        return [item.id for item in answer.items]

    def _shown_as(
        self, connection: sa.Connection, catalogue: Catalogue, asset_id: str, without: Sequence[str] = ()
    ) -> str | None:
        """The asset itself while it may be shown, else the first equivalent that may."""
        eligible = catalogue.eligible(self._clock().timestamp())
        row = catalogue.row_of.get(asset_id)
        if row is not None and eligible[row]:
            return asset_id
        others = store.family(connection, asset_id)
        if row is not None:
            mates = (catalogue.group == catalogue.group[row]).nonzero()[0]
            others += [catalogue.cards[int(mate)].asset_id for mate in mates]
        for other in others:
            place = catalogue.row_of.get(other)
            if place is not None and eligible[place] and other not in without:
                return other
        return None

    def _response(
        self, stored: StoredSlot, asset_ids: Sequence[str], catalogue: Catalogue, asked: int
    ) -> RecommendationResponse:
        items = [
            _item(catalogue, asset_id, rank)
            for rank, asset_id in enumerate((a for a in asset_ids if a in catalogue.row_of), start=1)
        ]
        warnings = []
        if len(items) < asked:
            detail = f"Only {len(items)} of {asked} assets may be shown here"
            warnings.append(Warning(code="fewer_than_asked", detail=detail))
        return RecommendationResponse(
            recommendation_id=stored.recommendation_id,
            items=tuple(items),
            stage=None,
            meta=meta(
                catalogue, stored.recommendation_id, tier_named(stored.tier), degraded=False, timings={}
            ),
            warnings=tuple(warnings),
        )


def _item(catalogue: Catalogue, asset_id: str, rank: int) -> RecommendedAsset:
    row = catalogue.row_of[asset_id]
    return RecommendedAsset(
        **described(catalogue.cards[row]),
        rank=rank,
        stage=likeliest_stage(catalogue, row),
        expires_at=shown_until(catalogue, row),
    )


def _recipient(request: EmailSlotRequest) -> Identity:
    if request.user_id is not None:
        return Identity("user", request.user_id)
    if request.anonymous_id is not None:
        return Identity("anonymous", request.anonymous_id)
    raise Unprocessable(
        "Say who the mail goes to: `user_id` or `anonymous_id`.",
        code="fields_invalid",
        fields=[FieldProblem("/user_id", "missing", "user_id or anonymous_id is needed.")],
    )


def _plain(request: EmailSlotRequest) -> RecommendationRequest:
    names = RecommendationRequest.model_fields.keys() & request.model_fields_set | {
        "placement",
        "channel",
        "count",
    }
    return RecommendationRequest.model_construct(
        **{name: getattr(request, name) for name in RecommendationRequest.model_fields},
        _fields_set=set(names),
    )
