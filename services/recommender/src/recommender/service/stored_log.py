"""A firm's own log as the evaluation and the learner read it, from the database that serves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sqlalchemy as sa

from recommender.domain.signal_kinds import SignalKinds
from recommender.domain.stages import StageModel
from recommender.service.asset_stages import AssetStageEstimator
from recommender.service.evaluation_data import Log
from recommender.service.meters import CatalogueMeters
from recommender.service.replica import CatalogueReplica
from recommender.store.behaviour import load_events
from servicekit.database import reading


def read_stored_log(
    engine: sa.Engine, kinds: SignalKinds, stages: StageModel, meters: CatalogueMeters, since: float
) -> Log:
    """Every asset of the catalogue with its vector, and the signals about them since `since` (epoch seconds).

    Of a long log the newest million signals count. Signals of erased buyers are not there any more.
    """
    replica = CatalogueReplica(
        engine, lambda prototypes: AssetStageEstimator(stages, prototypes), lambda _model: None, meters
    )
    catalogue = replica.catch_up().catalogue
    with reading(engine) as connection:
        stored = load_events(connection, kinds.names, since)
    events = stored.rows(np.argsort(stored.at, kind="stable"))
    rows = np.array([catalogue.row_of.get(name, -1) for name in events.names], dtype=np.int64)[events.asset]
    early = catalogue.publish_at[rows[rows >= 0]] > events.at[rows >= 0]
    people, buyer = np.unique(events.buyer, return_inverse=True)
    return Log(
        catalogue=catalogue,
        events=replace(events, buyer=buyer.astype(np.int64)),
        buyers=tuple(str(b) for b in people.tolist()),
        unnamed=0,
        missing=int((rows < 0).sum()),
        early=int(early.sum()),
    )
