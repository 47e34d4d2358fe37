"""Coverage: what the catalogue has for each stage, persona and topic, and what was asked for in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contract.base import StageName
from contract.insight import CoverageCell, CoverageOutput, FallbackTopic, ListedAsset, UnmetNeed
from recommender.domain.answers import FALLBACK, PERSONA, SHORT, STAGE, TOPIC
from recommender.domain.buyer_state import moment
from recommender.domain.catalogue import STAGES, Catalogue
from recommender.numeric.selection import top
from recommender.service.clock import Clock
from recommender.service.replica import CatalogueReplica
from recommender.store import recommendation_log as store
from recommender.store.recommendation_log import Demand
from recommender.store.time_limits import limit_time
from servicekit.database import reading

OLD_DAYS = 365
_LISTED = 100
_MOST_CELLS = 5_000
_STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
_FIELDS: tuple[tuple[str, Literal["persona", "topic"]], ...] = (("personas", "persona"), ("topics", "topic"))


class CoverageService:
    def __init__(self, engine: sa.Engine, replica: CatalogueReplica, clock: Clock) -> None:
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._replica = replica
        self._clock = clock

    def coverage(self) -> dict[str, Any]:
        """Eligible assets by stage × persona and stage × topic; each counts where it is likeliest."""
        catalogue = self._replica.snapshot.catalogue
        eligible = catalogue.eligible(self._clock().timestamp())
        leading = catalogue.stage.argmax(axis=1)
        cells = []
        for field, by in _FIELDS:
            for value, rows in sorted(catalogue.tag_rows.get(field, {}).items()):
                living = rows[eligible[rows]]
                counts = np.bincount(leading[living], minlength=len(STAGES))
                cells += [
                    {"by": by, "value": value, "stage": stage, "assets": int(count)}
                    for stage, count in zip(STAGES, counts, strict=True)
                ]
        totals = np.bincount(leading[eligible], minlength=len(STAGES))
        return {
            "assets": int(eligible.sum()),
            "by_stage": {stage: int(n) for stage, n in zip(STAGES, totals, strict=True)},
            "cells": cells,
        }

    def with_demand(self, days: int) -> CoverageOutput:
        """The same beside what the answers of the last `days` lacked."""
        now = self._clock()
        since = now - timedelta(days=days)
        with reading(self._engine) as connection:
            limit_time(connection)
            answers, weak, fallback = store.answer_totals(connection, since)
            by_persona = store.demand_by(
                connection,
                since,
                (FALLBACK, SHORT, STAGE, PERSONA),
                persona=True,
                topic=False,
                limit=_MOST_CELLS,
            )
            by_topic = store.demand_by(
                connection,
                since,
                (FALLBACK, SHORT, STAGE, TOPIC),
                persona=False,
                topic=True,
                limit=_MOST_CELLS,
            )
            needs = store.demand_by(
                connection,
                since,
                (FALLBACK, SHORT, STAGE, PERSONA, TOPIC),
                persona=True,
                topic=True,
                limit=_LISTED,
            )
            topics = store.fallback_topics(connection, since, 20)
            shown = store.shown_assets(connection, since)
        supply = self.coverage()
        catalogue = self._replica.snapshot.catalogue
        eligible = catalogue.eligible(now.timestamp())
        cells = _cells(supply["cells"], by_persona, by_topic)
        unseen = np.array(
            [catalogue.cards[r].asset_id not in shown for r in range(len(catalogue))], dtype=bool
        )
        old = catalogue.published_at < now.timestamp() - OLD_DAYS * 86_400.0
        return CoverageOutput(
            assets=supply["assets"],
            by_stage=supply["by_stage"],
            days=days,
            since=since,
            answers=answers,
            weak_answers=weak,
            fallback_answers=fallback,
            cells=cells,
            gaps=tuple(
                sorted(
                    (c for c in cells if not c.assets), key=lambda c: (-c.unmet_accounts, -c.unmet_answers)
                )
            ),
            unmet=tuple(_need(catalogue, eligible, one) for one in needs),
            fallback_topics=tuple(FallbackTopic(topic=topic, answers=n) for topic, n in topics),
            never_shown=_listed(catalogue, eligible & unseen),
            never_shown_count=int((eligible & unseen).sum()),
            old=_listed(catalogue, eligible & old),
            old_count=int((eligible & old).sum()),
        )


def _cells(
    supply: Sequence[Mapping[str, Any]], by_persona: Sequence[Demand], by_topic: Sequence[Demand]
) -> tuple[CoverageCell, ...]:
    """Every cell that has assets or was asked for; a role or topic that no asset names has empty ones."""
    demand = {("persona", d.persona, d.stage): d for d in by_persona if d.persona is not None}
    demand |= {("topic", d.topic, d.stage): d for d in by_topic if d.topic is not None}
    assets = {(cell["by"], cell["value"], cell["stage"]): int(cell["assets"]) for cell in supply}
    rows = dict.fromkeys((by, value) for by, value, _ in (*assets, *sorted(demand, key=str)))
    nothing = Demand("", None, None, 0, 0, 0)
    cells = []
    for by, value in rows:
        for stage in _STAGE_NAMES:
            found = demand.get((by, value, stage), nothing)
            cells.append(
                CoverageCell(
                    by="persona" if by == "persona" else "topic",
                    value=str(value),
                    stage=stage,
                    assets=assets.get((by, str(value), stage), 0),
                    unmet_accounts=found.accounts,
                    unmet_buyers=found.buyers,
                    unmet_answers=found.answers,
                )
            )
    return tuple(cells)


def _need(catalogue: Catalogue, eligible: NDArray[np.bool_], demand: Demand) -> UnmetNeed:
    stage = next(s for s in _STAGE_NAMES if s == demand.stage)
    fits = eligible & (catalogue.stage.argmax(axis=1) == STAGES.index(stage))
    for field, value in (("personas", demand.persona), ("topics", demand.topic)):
        if value is not None:
            carries = np.zeros(len(catalogue), dtype=np.bool_)
            carries[catalogue.tag_rows.get(field, {}).get(value, np.empty(0, dtype=np.int32))] = True
            fits &= carries
    return UnmetNeed(
        stage=stage,
        persona=demand.persona,
        topic=demand.topic,
        assets=int(fits.sum()),
        unmet_accounts=demand.accounts,
        unmet_buyers=demand.buyers,
        unmet_answers=demand.answers,
    )


def _listed(catalogue: Catalogue, mask: NDArray[np.bool_]) -> tuple[ListedAsset, ...]:
    """The oldest of them."""
    rows = np.flatnonzero(mask)
    chosen = rows[top(-catalogue.published_at[rows], _LISTED)]
    return tuple(
        ListedAsset(
            id=catalogue.cards[row].asset_id,
            title=catalogue.cards[row].title,
            url=catalogue.cards[row].url,
            type=catalogue.cards[row].type,
            stage=_STAGE_NAMES[int(catalogue.stage[row].argmax())],
            published_at=moment(float(catalogue.published_at[row])),
        )
        for row in chosen.tolist()
    )
