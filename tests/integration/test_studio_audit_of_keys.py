"""What keys change through the API stands in the studio's audit log, too."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.studio.roles import Role
from integration.studio_place import Place, place
from unit.gateway.gateway_fixtures import stand_in, stand_in_server
from unit.gateway.gateway_stand_in import StandIn

__all__ = ["place", "stand_in", "stand_in_server"]


def key_of(place: Place, *scopes: str) -> str:
    text, _ = place.desk.keys.issue("secret", name="=the shop", scopes=scopes, origins=(), now=place.clock[0])
    return text


def send(place: Place, method: str, path: str, key: str, **more: Any) -> int:
    client = place.app.test_client()
    answer = client.open(path, method=method, headers={"Authorization": f"Bearer {key}"}, **more)
    answer.get_data()
    return int(answer.status_code)


def noted(place: Place) -> list[tuple[str, str, str, Any]]:
    place.app.extensions["api_changes"].write()
    entries = [e for e in place.desk.audit.page() if e.action.startswith("api.")]
    return [(e.subject_kind, e.subject_id, e.summary, e.after) for e in reversed(entries)]


def test_each_change_is_noted_once_with_its_key(place: Place, stand_in: StandIn) -> None:
    key = key_of(place, "admin")
    asset = {"title": "T", "url": "https://a.example/t"}
    assert send(place, "PUT", "/v1/assets/new/one", key, json=asset) == 201
    assert send(place, "PUT", "/v1/assets/new/one", key, json=asset) == 200
    patch = {"status": "archived", "body": "a whole book"}
    assert send(place, "PATCH", "/v1/assets/new/one", key, json=patch) == 200
    assert send(place, "PATCH", "/v1/assets/new/one", key, json={"metadata": {"a": "x" * 9000}}) == 200
    assert send(place, "DELETE", "/v1/assets/new/one", key) == 204
    rows = b"".join(b'{"title": "R%d"}\n' % n for n in range(3000))
    sent = {"data": rows, "content_type": "application/x-ndjson"}
    assert send(place, "POST", "/v1/assets:import", key, **sent) == 200
    assert send(place, "PUT", "/v1/placements/side", key, json={"pin": ["asset-1"]}) == 200
    # What was read, refused or not there changed nothing.
    assert send(place, "GET", "/v1/assets/new/one", key) == 404
    assert send(place, "PATCH", "/v1/assets/new/one", key, json=patch) == 404
    assert send(place, "PATCH", "/v1/assets/new/one", key_of(place, "recommend"), json=patch) == 403
    assert noted(place) == [
        ("asset", "new/one", "Created, through the API", None),
        ("asset", "new/one", "Stored, through the API", None),
        ("asset", "new/one", "Changed: body, status, through the API", {"status": "archived"}),
        ("asset", "new/one", "Changed: metadata, through the API", {"metadata": "…"}),
        ("asset", "new/one", "Deleted, through the API", None),
        ("assets", "", "Imported rows through the API: 3,000 stored", None),
        ("placement", "side", "Stored, through the API", None),
    ]
    client = place.browser(place.person(Role.OPERATOR))
    page = client.get("/studio/audit?q=the+shop").text
    assert page.count("through the API") >= 7
    assert key not in page
    exported = list(csv.DictReader(io.StringIO(client.get("/studio/audit.csv").text)))
    assert exported[-1]["action"] == "api.placement_put"
    assert exported[-1]["actor"].startswith("key “=the shop”")
    assert {row["after"] for row in exported} >= {"", '{"status":"archived"}'}


def test_notes_wait_for_a_database_that_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    key, before = key_of(place, "assets:write"), len(noted(place))
    with monkeypatch.context() as away:

        def refuse(_: object) -> list[int]:
            raise sa.exc.OperationalError("INSERT", {}, ConnectionError("away"))

        away.setattr(place.app.extensions["api_changes"]._audit, "add", refuse)
        asset = {"title": "T", "url": "https://a.example/t"}
        assert send(place, "PUT", "/v1/assets/waits", key, json=asset) == 201
        with pytest.raises(sa.exc.OperationalError):
            place.app.extensions["api_changes"].write()
    assert [one[1] for one in noted(place)[before:]] == ["waits"]
