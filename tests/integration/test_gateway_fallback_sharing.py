"""Two replicas of the gateway on one database: neither shows from memory what the other has taken away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter

from contract.recommendations import RecommendationRequest
from gateway import fallback_sharing
from gateway.fallback import Fallback
from gateway.fallback_sharing import SharedFallback
from gateway.metrics import GatewayMetrics
from gateway.store.migrate import migrate
from servicekit.database import create_engine
from servicekit.metrics import Metrics
from unit.gateway.stand_in_documents import content

ASKED = RecommendationRequest(placement="sidebar", count=50)


class Replica:
    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_size=1, application_name="test")
        self.fallback = Fallback(
            (),
            max_age_seconds=3600,
            clock=lambda: 0.0,
            metrics=GatewayMetrics.create(Metrics.create("gateway", "0")),
        )
        self.failures = Counter("failures", "", ["loop"], registry=CollectorRegistry())
        self.shared = SharedFallback(
            self.engine, self.fallback, max_age_seconds=3600, failures=self.failures, wait_seconds=5.0
        )
        self.fallback.sharing = self.shared

    def remember(self, *numbers: int) -> None:
        self.fallback.remember(ASKED, [content(number) for number in numbers])

    def shown(self) -> list[str]:
        return [asset.id for asset in self.fallback.answer(ASKED).assets]


@pytest.fixture(scope="module")
def fallback_database(bare_database: str) -> str:
    migrate(bare_database)
    return bare_database


@pytest.fixture
def replicas(fallback_database: str) -> Iterator[Any]:
    admin = create_engine(fallback_database, pool_size=1, application_name="test")
    with admin.begin() as connection:
        connection.exec_driver_sql("TRUNCATE gateway.withdrawals, gateway.last_good_answers")
    admin.dispose()
    made: list[Replica] = []

    def make(start: bool = True) -> Replica:
        made.append(Replica(fallback_database))
        if start:
            made[-1].shared.step()
            made[-1].shared.start()
        return made[-1]

    yield make
    for replica in made:
        replica.shared.stop()


def test_what_one_replica_takes_away_no_other_shows(replicas: Any) -> None:
    one, other = replicas(), replicas()
    one.remember(1, 2)
    other.remember(1, 2, 3)
    one.fallback.forget("asset-1")
    assert other.shown() == ["asset-2", "asset-3"]
    other.fallback.forget("asset-2", "asset-3")
    assert one.shown() == []


def test_an_answer_under_way_does_not_bring_a_deleted_asset_back(replicas: Any) -> None:
    one, other = replicas(), replicas()
    one.fallback.forget("asset-1")
    other.shared.ensure_fresh()
    other.remember(1, 2)
    assert other.shown() == ["asset-2"]


def test_an_import_takes_away_what_it_stored_and_nothing_else(replicas: Any) -> None:
    one, other = replicas(), replicas()
    other.remember(1, 2, 3)
    lines = b'{"line":1,"result":"stored","id":"asset-1"}\n{"line":2,"result":"unchanged","id":"asset-2"}\n'
    assert b"".join(one.fallback.forget_stored([lines[:20], lines[20:]])) == lines
    assert other.shown() == ["asset-2", "asset-3"]
    one.fallback.forget_all()
    assert other.shown() == []


def test_what_a_large_import_stored_is_taken_away_once_and_not_every_second(replicas: Any) -> None:
    one, other = replicas(start=False), replicas(start=False)
    other.shared.step()
    one.fallback.forget(*(f"asset-{number}" for number in range(12_000)))
    other.shared.step()
    other.fallback._withdrawn.clear()  # as after five seconds
    other.remember(1, 2)
    other.shared.step()
    assert other.shown() == ["asset-1", "asset-2"]


def test_withdrawals_of_before_the_overlap_are_not_read_again(
    replicas: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_sharing, "_OVERLAP", timedelta(milliseconds=100))
    one, other = replicas(start=False), replicas(start=False)
    other.shared.step()
    one.fallback.forget("asset-1")
    read: list[int] = []
    sa.event.listen(other.engine, "after_cursor_execute", lambda _c, cursor, *_: read.append(cursor.rowcount))
    other.shared.step()
    assert read[-1] == 1
    time.sleep(0.2)
    other.shared.step()
    other.shared.step()
    assert read[-1] == 0


def test_a_gateway_that_starts_on_a_bad_day_knows_the_last_good_answers(replicas: Any) -> None:
    before = replicas(start=False)
    before.remember(1, 2, 3)
    before.shared.step()
    before.fallback.forget("asset-2")
    assert replicas().shown() == ["asset-1", "asset-3"]


@pytest.mark.parametrize("everything", [False, True])
def test_what_was_shown_again_long_after_it_was_taken_away_survives_a_restart(
    replicas: Any, everything: bool
) -> None:
    before = replicas(start=False)
    before.fallback.forget_all() if everything else before.fallback.forget("asset-2")
    with before.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE gateway.withdrawals SET at = at - interval '5 seconds'")
    later = replicas(start=False)
    later.remember(1, 2, 3)
    later.shared.step()
    assert replicas().shown() == ["asset-1", "asset-2", "asset-3"]


def test_what_a_replica_wrote_before_it_could_have_heard_stays_away(replicas: Any) -> None:
    before = replicas(start=False)
    before.fallback.forget("asset-2")
    with before.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE gateway.withdrawals SET at = at - interval '3 seconds'")
    unaware = replicas(start=False)
    unaware.remember(1, 2, 3)
    unaware.shared._save()
    assert replicas().shown() == ["asset-1", "asset-3"]


def test_without_a_database_the_memory_answers_at_once_and_nothing_is_lost(
    replicas: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas(start=False), replicas()
    one.shared.step()
    one.remember(1, 2)
    other.remember(1, 2)
    engine = one.engine
    away = create_engine("postgresql://nobody@127.0.0.1:9/none", pool_size=1, application_name="test")
    monkeypatch.setattr(one.shared, "_engine", away)
    one.fallback.forget("asset-1")
    with pytest.raises(sa.exc.OperationalError):
        one.shared.step()
    assert one.shown() == ["asset-2"]
    assert other.shown() == ["asset-1", "asset-2"]
    monkeypatch.setattr(one.shared, "_engine", engine)
    one.shared.step()
    assert other.shown() == ["asset-2"]
