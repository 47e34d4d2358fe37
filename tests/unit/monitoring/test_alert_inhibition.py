"""One outage, one page: a real Alertmanager is told of alerts, and asked which of them reach somebody."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import urllib3
from urllib3.exceptions import HTTPError

from foreword_dev.free_ports import free_ports
from unit.monitoring.debian_tools import tool

pytestmark = pytest.mark.slow
CONFIG = Path(__file__).resolve().parents[3] / "monitoring" / "alertmanager.example.yml"
AVAILABILITY = ("ForewordAvailabilityBurn", "page", "availability")
DEGRADED = ("ForewordAnswersDegraded", "page", "answers_not_degraded")
SIGNALS = ("ForewordSignalsRefused", "page", "signals_acknowledged")
UPLOADS = ("ForewordUploadsSlow", "page", "upload_to_servable")
LOOPS = ("ForewordLoopFailing", "ticket")
# What an outage of the recommender does to the objectives.
BURNING = (AVAILABILITY, DEGRADED, SIGNALS)
_http = urllib3.PoolManager(retries=False, timeout=10.0)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """→ its address, with the example's routes and inhibitions."""
    folder = tmp_path_factory.mktemp("alertmanager")
    web, gossip = free_ports(2)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus-alertmanager", "prometheus-alertmanager"),
                f"--config.file={CONFIG}",
                f"--storage.path={folder}",
                f"--web.listen-address=127.0.0.1:{web}",
                f"--cluster.listen-address=127.0.0.1:{gossip}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(f"http://127.0.0.1:{web}/-/ready", process)
        yield f"http://127.0.0.1:{web}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if _http.request("GET", address).status == 200:
                return
        except HTTPError:
            pass  # it does not listen yet
        time.sleep(0.05)
    raise AssertionError("Alertmanager did not start")


def _reaching(address: str, namespace: str, *alerts: tuple[str, ...], elsewhere: str = "") -> set[str]:
    """Names of those that are not held back; an alert is (name, severity), and an objective or a part."""
    now = datetime.now(UTC)
    told = []
    for name, severity, *more in alerts:
        labels = {"alertname": name, "severity": severity, "namespace": namespace}
        if name == "ForewordPartWasAway":
            labels |= {"part": more[0], "namespace": elsewhere or namespace}
        elif more:
            labels["slo"] = more[0]
        told.append({"labels": labels, "endsAt": (now + timedelta(minutes=5)).isoformat()})
    headers = {"Content-Type": "application/json"}
    answer = _http.request("POST", f"{address}/api/v2/alerts", body=orjson.dumps(told), headers=headers)
    assert answer.status == 200, answer.data
    deadline = time.monotonic() + 10
    while True:
        found = _http.request("GET", f"{address}/api/v2/alerts").json()
        mine = [one for one in found if one["labels"]["namespace"] == namespace]
        if len(mine) >= len(alerts) - bool(elsewhere) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert len(mine) >= len(alerts) - bool(elsewhere), "they have all arrived"
    return {one["labels"]["alertname"] for one in mine if not one["status"]["inhibitedBy"]}


def test_while_a_part_is_away_its_own_alert_is_the_only_page(alertmanager: str) -> None:
    away = ("ForewordRecommenderAway", "page")
    assert _reaching(alertmanager, "away", away, *BURNING) == {"ForewordRecommenderAway"}
    both = (("ForewordDatabaseAway", "page"), away)
    assert _reaching(alertmanager, "both", *both, *BURNING) == {"ForewordDatabaseAway"}


def test_once_it_is_back_what_its_outage_did_pages_nobody(alertmanager: str) -> None:
    was = ("ForewordPartWasAway", "none", "serving")
    assert _reaching(alertmanager, "back", was, LOOPS, *BURNING) == {"ForewordPartWasAway"}


def test_what_no_outage_explains_goes_through(alertmanager: str) -> None:
    assert _reaching(alertmanager, "alone", *BURNING) == {name for name, *_ in BURNING}
    was = ("ForewordPartWasAway", "none", "serving")
    found = _reaching(alertmanager, "beside", was, AVAILABILITY, elsewhere="another-firm")
    assert found == {"ForewordAvailabilityBurn"}, "an outage elsewhere explains nothing here"


def test_the_embedder_explains_slow_uploads_and_nothing_else(alertmanager: str) -> None:
    away = ("ForewordEmbedderAway", "ticket")
    assert _reaching(alertmanager, "e-away", away, UPLOADS, AVAILABILITY) == {
        "ForewordEmbedderAway",
        "ForewordAvailabilityBurn",
    }
    was = ("ForewordPartWasAway", "none", "embedder")
    assert _reaching(alertmanager, "e-back", was, UPLOADS, AVAILABILITY) == {
        "ForewordPartWasAway",
        "ForewordAvailabilityBurn",
    }
