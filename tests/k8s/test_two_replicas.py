"""Two recommenders as processes on one database: each serves what the other was told, and one may die."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
import pytest
import urllib3

from k8s.service_processes import Running, Services

pytestmark = pytest.mark.slow

_http = urllib3.PoolManager(maxsize=8, retries=False, timeout=30.0)
IMPORTED = 1_500


def _call(replica: Running, method: str, path: str, value: Any = None) -> urllib3.BaseHTTPResponse:
    return _http.request(
        method,
        replica.url + path,
        body=None if value is None else orjson.dumps(value),
        headers={"Content-Type": "application/json"},
    )


def _put(replica: Running, asset_id: str, **fields: Any) -> None:
    asset = {"title": asset_id, "url": f"https://www.example.com/{asset_id}", **fields}
    answer = _call(replica, "PUT", f"/v1/assets/{asset_id}", asset)
    assert answer.status in (200, 201), answer.data


def _shown(replica: Running) -> set[str]:
    answer = _call(replica, "POST", "/v1/recommendations", {"count": 50})
    assert answer.status == 200, answer.data
    return {item["id"] for item in answer.json()["items"]}


@pytest.fixture(scope="module")
def replicas(services: Services) -> tuple[Running, Running]:
    embedder = services.start("embedder").wait_ready()
    first = services.start("recommender", FOREWORD_EMBEDDER_URL=embedder.url)
    second = services.start("recommender", FOREWORD_EMBEDDER_URL=embedder.url)
    return first.wait_ready(), second.wait_ready()


def _seconds_until(condition: Any) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 10
        time.sleep(0.05)
    return time.monotonic() - began


def test_what_one_takes_in_the_other_serves_within_two_seconds(
    replicas: tuple[Running, Running],
) -> None:
    for number in range(5):
        here, there = replicas if number % 2 else replicas[::-1]
        asset_id = f"seen-{number}"
        _put(here, asset_id)
        assert _seconds_until(lambda there=there, i=asset_id: i in _shown(there)) < 2
        assert _call(here, "DELETE", f"/v1/assets/{asset_id}").status == 204
        assert _seconds_until(lambda there=there, i=asset_id: i not in _shown(there)) < 2


def test_a_deleted_asset_is_served_by_none_once_that_was_acknowledged(
    replicas: tuple[Running, Running],
) -> None:
    first, second = replicas
    for number in range(10):
        _put(first, f"gone-{number}")
        assert _call(first, "DELETE", f"/v1/assets/gone-{number}").status == 204
        assert f"gone-{number}" not in _shown(second)


def test_kill_9_in_the_middle_of_an_import_loses_and_doubles_nothing(
    services: Services, replicas: tuple[Running, Running]
) -> None:
    first, second = replicas
    embedder_url = services.started[0].url
    lines = [
        orjson.dumps({"id": f"imported-{n}", "title": f"Door {n}", "url": f"https://example.com/i/{n}"})
        for n in range(IMPORTED)
    ]
    acknowledged: list[str] = []

    def send() -> None:
        try:
            response = _http.request(
                "POST",
                first.url + "/v1/assets:import",
                body=b"\n".join(lines) + b"\n",
                headers={"Content-Type": "application/x-ndjson"},
                preload_content=False,
            )
            rest = b""
            for chunk in response.stream(1024):
                *whole, rest = (rest + chunk).split(b"\n")
                acknowledged.extend(orjson.loads(line)["id"] for line in whole if line)
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # it is killed under our hands

    sender = threading.Thread(target=send)
    sender.start()
    _seconds_until(lambda: len(acknowledged) >= 150)
    first.kill()
    sender.join(30)
    assert 150 <= len(acknowledged) < IMPORTED, "it was killed in the middle"
    stored = _stored(second)
    assert set(acknowledged) <= stored, "what was acknowledged is there"
    again = services.start("recommender", FOREWORD_EMBEDDER_URL=embedder_url).wait_ready()
    answer = _http.request(
        "POST",
        again.url + "/v1/assets:import",
        body=b"\n".join(lines) + b"\n",
        headers={"Content-Type": "application/x-ndjson"},
    )
    results = [orjson.loads(line) for line in answer.data.splitlines()]
    unchanged = {r["id"] for r in results if r["result"] == "unchanged"}
    assert unchanged == stored, "what was there is not stored again"
    assert len(results) == IMPORTED
    assert _stored(second) == {f"imported-{n}" for n in range(IMPORTED)}
    for replica in (again, second):
        assert _listed(replica) == IMPORTED, "each once"


def _page(replica: Running, token: str | None) -> dict[str, Any]:
    query = f"&page_token={token}" if token else ""
    page: dict[str, Any] = _call(replica, "GET", f"/v1/assets?page_size=500{query}").json()
    return page


def _all_listed(replica: Running) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = _page(replica, token)
        found += [one["id"] for one in page["assets"] if one["id"].startswith("imported-")]
        token = page.get("next_page_token")
        if not token:
            return found


def _stored(replica: Running) -> set[str]:
    return set(_all_listed(replica))


def _listed(replica: Running) -> int:
    return len(_all_listed(replica))
