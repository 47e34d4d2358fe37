"""Signing in to the studio with the firm's identity provider, and what a dishonest answer of it is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from flask import Flask

from gateway.app import create_app
from gateway.settings import GatewaySettings
from gateway.store.migrate import migrate
from gateway.studio.desk import Desk
from gateway.studio.roles import Role
from integration.identity_provider import Provider, make_app
from unit.gateway.gateway_stand_in import serve


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Provider]:
    state = Provider()
    with serve(make_app(state)) as state.url:
        yield state


@pytest.fixture
def provider(running_provider: Provider) -> Provider:
    running_provider.claims = {"email": "Ana@Example.com", "email_verified": True, "name": "Ana"}
    running_provider.forge = False
    return running_provider


@pytest.fixture(scope="module")
def app(bare_database: str, running_provider: Provider) -> Flask:
    migrate(bare_database)
    settings = GatewaySettings.load(
        database_url=bare_database,
        oidc_issuer=running_provider.url,
        oidc_client_id="studio",
        oidc_client_secret="s",
    )
    made = create_app(settings, start=False)
    made.extensions["parts"].keys.refresh()
    return made


def sign_in(app: Flask) -> Any:
    """Walk the whole way, as a browser would. → (client, last answer)"""
    client: Any = app.test_client()
    begun = client.get("/studio/single-sign-on?next=/studio/coverage")
    assert begun.status_code == 302, begun.text
    sent_back = urllib3.request("GET", begun.location, redirect=False, retries=False).headers["Location"]
    parts = urlsplit(sent_back)
    return client, client.get(f"{parts.path}?{parts.query}")


def test_whom_the_provider_vouches_for_comes_in_as_a_viewer(app: Flask, provider: Provider) -> None:
    client, answer = sign_in(app)
    assert answer.location == "/studio/coverage"
    desk: Desk = app.extensions["studio"].extensions["desk"]
    user = desk.people.find_by_email("ana@example.com")
    assert user is not None
    assert (user.name, user.role, user.has_password) == ("Ana", Role.VIEWER, False)
    assert client.get("/studio/goals").status_code == 200
    assert client.get("/studio/people").status_code == 403
    assert "Sign in with your organisation" in app.test_client().get("/studio/sign-in").text
    # Nobody comes in with an empty password where there is none.
    assert desk.people.with_password("ana@example.com", "") is None
    desk.people.set_role(user.user_id, Role.EDITOR)
    sign_in(app)
    assert desk.people.find(user.user_id).role is Role.EDITOR


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email": ""},
        {"nonce": "another"},
        {"aud": "someone"},
        {"exp": 1},
        {"iss": "evil"},
    ],
)
def test_an_answer_that_does_not_hold_lets_nobody_in(
    app: Flask, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims.update(claims)
    client, answer = sign_in(app)
    assert answer.location == "/studio/sign-in"
    assert client.get("/studio/goals").status_code == 303


def test_a_forged_signature_lets_nobody_in(app: Flask, provider: Provider) -> None:
    provider.forge = True
    client, answer = sign_in(app)
    assert answer.location == "/studio/sign-in"
    assert client.get("/studio/goals").status_code == 303


def test_an_answer_that_nobody_asked_for_lets_nobody_in(app: Flask, provider: Provider) -> None:
    client = app.test_client()
    assert client.get("/studio/single-sign-on/back?code=a-code&state=guessed").location == "/studio/sign-in"
    assert client.get("/studio/goals").status_code == 303


def test_a_person_switched_off_stays_out(app: Flask, provider: Provider) -> None:
    provider.claims["email"] = "gone@example.com"
    sign_in(app)
    desk: Desk = app.extensions["studio"].extensions["desk"]
    user = desk.people.find_by_email("gone@example.com")
    assert user is not None
    desk.people.disable(user.user_id, now=desk.clock())
    _, answer = sign_in(app)
    assert answer.location == "/studio/sign-in"
