"""From an upload to a recommendation, and from a deletion to never again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from e2e.foreword_process import REPOSITORY, Api, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

CONTENT = REPOSITORY / "sample" / "content"


def _recent() -> dict[str, Any]:
    since = datetime.now(UTC) - timedelta(minutes=5)
    return {"must": [{"field": "published_at", "from": since.isoformat().replace("+00:00", "Z")}]}


def assert_recommendable(api: Api, asset_id: str, answered_at: float) -> None:
    def shown() -> bool:
        return asset_id in api.recommended(user_id="curious", count=50, filter=_recent())

    wait_until(shown, 2.0 - (time.monotonic() - answered_at), f"{asset_id} is recommendable")


def test_an_asset_that_was_put_is_recommendable_within_two_seconds(api: Api) -> None:
    stored = api.put_asset("fresh-put", title="Doors that close themselves", topics=["doors"])
    answered_at = time.monotonic()
    assert stored.status == 201
    assert stored.json()["embedding"]["state"] == "ready"
    assert stored.json()["stage_estimate"]["distribution"]
    assert_recommendable(api, "fresh-put", answered_at)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (CONTENT / "papers" / "datasheet-probe-p3.pdf", "probe"),
        (CONTENT / "documents" / "buyers-guide-monitoring.docx", "monitoring"),
        (CONTENT / "pages" / "pricing.html", "pric"),
        (CONTENT / "articles" / "blog-door-minutes.md", "door"),
    ],
    ids=["pdf", "docx", "html", "markdown"],
)
def test_an_uploaded_file_is_recommendable_within_two_seconds(api: Api, path: Any, word: str) -> None:
    asset_id = f"uploaded-{path.suffix[1:]}"
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    answer = api.upload(path.name, path.read_bytes(), id=asset_id, publish_at=now, expires_at=None)
    answered_at = time.monotonic()
    assert answer.status == 200, answer.body
    result = answer.json()["results"][0]
    assert result["result"] == "stored", result
    assert result["id"] == asset_id
    assert word in result["asset"]["title"].lower() + result["asset"]["body"].lower()
    assert len(result["asset"]["body"]) > 1000
    assert_recommendable(api, asset_id, answered_at)


def test_imported_rows_are_recommendable_within_two_seconds(api: Api) -> None:
    rows = [
        {"id": f"fresh-row-{n}", "title": f"Row {n}", "url": f"https://www.example.com/row/{n}"}
        for n in range(3)
    ]
    answer = api.rows(b"\n".join(orjson.dumps(row) for row in rows), "application/x-ndjson")
    answered_at = time.monotonic()
    assert [line["result"] for line in answer.lines()] == ["stored"] * 3
    for row in rows:
        assert_recommendable(api, row["id"], answered_at)


def test_importing_again_changes_nothing(api: Api) -> None:
    row = orjson.dumps({"id": "twice", "title": "Twice", "url": "https://www.example.com/twice"})
    api.rows(row, "application/x-ndjson")
    revision = api.get_asset("twice").json()["revision"]
    assert [line["result"] for line in api.rows(row, "application/x-ndjson").lines()] == ["unchanged"]
    assert api.get_asset("twice").json()["revision"] == revision


@pytest.mark.parametrize("way", ["delete", "archive", "expire", "draft"])
def test_what_was_taken_away_never_appears_again(api: Api, way: str) -> None:
    """Readers keep asking while it goes; no answer asked for after the acknowledgement may hold it."""
    asset_id = f"short-lived-{way}"
    api.put_asset(asset_id, title="It does not stay")
    asked = {"user_id": "curious", "count": 50, "filter": _recent(), "placement": f"going-{way}"}
    assert asset_id in api.recommended(**asked)
    seen: list[tuple[float, bool]] = []
    stopping = threading.Event()
    failures: list[BaseException] = []

    def read(number: int) -> None:
        client = Api(api.url, api.key)
        try:
            while not stopping.is_set():
                started = time.monotonic()
                seen.append(
                    (started, asset_id in client.recommended(**{**asked, "user_id": f"reader-{number}"}))
                )
        except BaseException as error:  # noqa: BLE001 - told by the test itself
            failures.append(error)

    readers = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for reader in readers:
        reader.start()
    try:
        wait_until(lambda: sum(shown for _, shown in seen) >= 8, 20, "readers see the asset")
        path = f"/v1/assets/{asset_id}"
        if way == "delete":
            gone = api.send("DELETE", path)
        else:
            moment = (datetime.now(UTC) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
            changes = {
                "archive": {"status": "archived"},
                "draft": {"status": "draft"},
                "expire": {"expires_at": moment},
            }
            gone = api.send("PATCH", path, orjson.dumps(changes[way]), {"Content-Type": "application/json"})
        gone_at = time.monotonic()
        assert gone.status in (200, 204), gone.body
        wait_until(lambda: sum(at > gone_at for at, _ in seen) >= 20, 30, "readers go on reading")
    finally:
        stopping.set()
        for reader in readers:
            reader.join()
    assert failures == []
    late = [shown for at, shown in seen if at > gone_at]
    assert not any(late), f"{sum(late)} of {len(late)} answers held it"
    assert asset_id not in api.send("GET", "/v1/search?q=It+does+not+stay").body.decode()


@pytest.mark.parametrize("agent", ["curl/8.5.0", "python-requests/2.32", "Go-http-client/2.0"])
def test_a_server_may_send_signals_with_any_http_library(api: Api, agent: str) -> None:
    """Lists of crawlers name these; behind a secret key they are a firm's own servers."""
    buyer = f"behind-{agent.split('/')[0]}"
    before = api.recommended(user_id=buyer, count=3)
    event = {"userId": buyer, "event": "Asset Downloaded", "properties": {"asset_id": before[0]}}
    headers = {"Content-Type": "application/json", "User-Agent": agent}
    assert api.send("POST", "/v1/track", orjson.dumps(event), headers).status == 200
    answer = api.post("/v1/recommendations", {"user_id": buyer, "count": 3}).json()
    assert answer["meta"]["tier"] == "personal"
    assert before[0] not in [item["id"] for item in answer["items"]]
