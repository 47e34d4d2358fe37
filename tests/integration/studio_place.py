"""A gateway with its studio on a real database, a stand-in for the recommender, and people to sign in."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask

from gateway.app import create_app
from gateway.settings import GatewaySettings
from gateway.store.migrate import migrate
from gateway.studio.desk import Desk
from gateway.studio.people import People
from gateway.studio.roles import Role
from servicekit.database import create_engine
from unit.gateway.gateway_stand_in import StandIn

PASSWORD = "a long enough password"
_TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
FORM = {
    "id": "asset-1",
    "role": "viewer",
    "do": "draft",
    "status": "draft",
    "email": "x@example.com",
    "ids": "1",
}


@dataclass(frozen=True)
class Place:
    app: Flask
    studio: Flask
    engine: sa.Engine
    clock: list[datetime]

    @property
    def desk(self) -> Desk:
        desk: Desk = self.studio.extensions["desk"]
        return desk

    def person(self, role: Role, email: str | None = None) -> str:
        """→ the e-mail address of a new person."""
        address = email or f"{role.value}-{uuid.uuid4().hex[:8]}@example.com"
        token = self.desk.people.invite(role, email=address, now=self.clock[0])
        invitation = self.desk.people.invitation(token, now=self.clock[0])
        self.desk.people.accept(invitation, email="", name=role.value, password=PASSWORD, now=self.clock[0])
        return address

    def browser(self, email: str | None = None) -> Any:
        client: Any = self.app.test_client()
        if email is not None:
            answer = post(client, "/sign-in", page="/sign-in", email=email, password=PASSWORD)
            assert answer.status_code == 303, answer.text
        return client


def token_on(client: Any, page: str) -> str:
    found = _TOKEN.search(client.get(f"/studio{page}").data)
    assert found, page
    return found[1].decode()


def post(client: Any, path: str, *, page: str = "/goals", **form: str) -> Any:
    return client.post(f"/studio{path}", data={"csrf_token": token_on(client, page), **form})


@pytest.fixture(scope="module")
def place(bare_database: str, stand_in_server: StandIn) -> Iterator[Place]:
    migrate(bare_database)
    settings = GatewaySettings.load(database_url=bare_database, recommender_url=stand_in_server.url)
    app = create_app(settings, start=False)
    app.extensions["parts"].keys.refresh()
    studio: Flask = app.extensions["studio"]
    clock = [datetime.now(UTC)]
    desk = studio.extensions["desk"]
    object.__setattr__(desk, "clock", lambda: clock[0])
    # The real thing takes 64 MB and a tenth of a second a password, on purpose; here there are a hundred.
    people = People(desk.people._engine, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    object.__setattr__(desk, "people", people)
    engine = create_engine(bare_database, pool_size=1, application_name="tests")
    yield Place(app, studio, engine, clock)
    engine.dispose()


def rules(place: Place) -> list[tuple[str, str, str]]:
    """(endpoint, method, path) of every page."""
    return [
        (rule.endpoint, method, re.sub(r"<(?:\w+:)?(\w+)>", "x", rule.rule))
        for rule in place.studio.url_map.iter_rules()
        for method in sorted((rule.methods or set()) & {"GET", "POST"})
        if rule.endpoint not in ("static", "static_files")
    ]
