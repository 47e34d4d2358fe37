"""The gateway before a stand-in recommender, with keys in memory; imported by every gateway test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from gateway.app import create_app
from gateway.keys import SCOPES, KeyKind, MemoryKeySource, make_key
from gateway.settings import GatewaySettings
from unit.gateway.gateway_stand_in import StandIn, running_stand_in

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
        registry = self.app.extensions["metrics"].registry
        return registry.get_sample_value(f"foreword_gateway_{metric}", labels) or 0.0


def make_gateway(recommender: StandIn, **settings: Any) -> Gateway:
    source = MemoryKeySource(project_secret=PROJECT_SECRET)
    secret, stored = make_key(KeyKind.SECRET, name="server", scopes=SCOPES, now=NOW)
    publishable, stored_too = make_key(KeyKind.PUBLISHABLE, name="browser", now=NOW)
    source.keys += [stored, stored_too]
    values = {"database_url": "postgresql://nowhere/none", "recommender_url": recommender.url, **settings}
    app = create_app(GatewaySettings.load(**values), key_source=source, start=False)
    app.extensions["parts"].keys.refresh()
    return Gateway(app, app.test_client(), source, recommender, secret, publishable)


@pytest.fixture(scope="session")
def stand_in_server() -> Iterator[StandIn]:
    with running_stand_in() as state:
        yield state


@pytest.fixture
def stand_in(stand_in_server: StandIn) -> StandIn:
    stand_in_server.reset()
    return stand_in_server


@pytest.fixture
def gateway(stand_in: StandIn) -> Gateway:
    return make_gateway(stand_in)
