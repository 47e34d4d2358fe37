"""The gateway before a stand-in recommender, with keys in memory; imported by every gateway test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from gateway.app import create_app
from gateway.keys import SCOPES, ApiKey, KeyKind, MemoryKeySource, make_key
from gateway.settings import GatewaySettings
from unit.gateway.gateway_stand_in import StandIn, running_stand_in

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT_SECRET = b"a project secret of 32 characters"


@dataclass
class Gateway:
    """An application under test, its keys, and the recommender behind it."""

    app: Flask
    client: Any  # a FlaskClient, whose answers hold whatever JSON there is
    source: MemoryKeySource
    recommender: StandIn
    secret: str
    publishable: str
    own_keys: tuple[ApiKey, ...] = ()
    before: Samples = field(default_factory=dict)
    counters: tuple[str, ...] = ()

    def add_key(self, kind: KeyKind, *scopes: str, origins: tuple[str, ...] = ()) -> str:
        text, key = make_key(kind, name="test", scopes=scopes, origins=origins, now=NOW)
        self.source.keys.append(key)
        self.parts.keys.refresh()
        return text

    @property
    def parts(self) -> Any:
        return self.app.extensions["parts"]

    def headers(self, key: str | None = None, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.secret}", **more}

    def count(self, metric: str, **labels: str) -> float:
        """By how much it grew since the last reset."""
        sample = (f"foreword_gateway_{metric}", tuple(sorted(labels.items())))
        return self._samples().get(sample, 0.0) - self.before.get(sample, 0.0)

    def _samples(self) -> Samples:
        """Counters and gauges: reading every bucket of every histogram before each test takes 40 ms."""
        registry = self.app.extensions["metrics"].registry
        if not self.counters:
            ends = {"counter": "_total", "gauge": ""}
            found = registry.collect()
            self.counters = tuple(each.name + ends[each.type] for each in found if each.type in ends)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in registry.restricted_registry(self.counters).collect()
            for sample in family.samples
        }

    def reset(self) -> None:
        """As it was at the start; making forty rules anew for each test would take most of the time."""
        self.source.away = False
        self.source.keys = list(self.own_keys)
        self.parts.keys.refresh()
        self.parts.fallback.forget_all()
        self.parts.recommender.client.breaker.succeeded()
        self.parts.clicks.drain()  # what an earlier test could not bring would hold up this one's clicks
        self.recommender.reset()
        self.before = self._samples()


def make_gateway(recommender: StandIn, **settings: Any) -> Gateway:
    source = MemoryKeySource(project_secret=PROJECT_SECRET)
    secret, stored = make_key(KeyKind.SECRET, name="server", scopes=SCOPES, now=NOW)
    publishable, stored_too = make_key(KeyKind.PUBLISHABLE, name="browser", now=NOW)
    source.keys += [stored, stored_too]
    values: dict[str, Any] = {
        "database_url": "postgresql://nowhere/none",
        "recommender_url": recommender.url,
        # A busy machine is no reason for a fallback or for a click that waits its turn.
        "recommendation_timeout_seconds": 30,
        "click_timeout_seconds": 30,
        **settings,
    }
    app = create_app(GatewaySettings.load(**values), key_source=source, start=False)
    found = Gateway(app, app.test_client(), source, recommender, secret, publishable, tuple(source.keys))
    found.reset()
    return found


@pytest.fixture(scope="session")
def stand_in_server() -> Iterator[StandIn]:
    with running_stand_in() as state:
        yield state


@pytest.fixture
def stand_in(stand_in_server: StandIn) -> StandIn:
    stand_in_server.reset()
    return stand_in_server


@pytest.fixture(scope="session")
def shared_gateway(stand_in_server: StandIn) -> Gateway:
    return make_gateway(stand_in_server)


@pytest.fixture
def gateway(shared_gateway: Gateway, stand_in: StandIn) -> Gateway:
    shared_gateway.reset()
    return shared_gateway
