"""Monitoring on the real thing: names, panels, exemplars and logs under load, then a drill of each rung.

One Foreword of its own, with Debian's Prometheus and Alertmanager over it, whose alerts wait a second for a
minute. The drills take parts away for good, so they come last and in this order. Each waits until what
follows from the part's absence fires too, and is held back.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import urllib3
from monitoring import generate, metric_table
from monitoring.looking import contact_sheet
from monitoring.looking.cluster import cluster
from monitoring.looking.load import Load
from monitoring.looking.prometheus import Watching, watching
from prometheus_client.openmetrics import parser

from e2e.foreword_process import Api, environment, own_folder, wait_until
from e2e.otlp_receiver import ReceivedSpan, receiver
from foreword_dev.embedded_postgres import EmbeddedPostgres
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running
from unit.monitoring.debian_tools import tool
from unit.monitoring.metric_catalogue import names_in

_HURRY = 60.0
# Asked for first: all the panels are hundreds of queries.
_LATE = (
    "rate(foreword_recommender_index_lag_seconds_count[1m]) > 0",
    "rate(foreword_recommender_census_duration_seconds_count[1m]) > 0",
    "rate(foreword_gateway_clicks_total[1m]) > 0",
    "slo:foreword_error_budget:remaining_ratio",
)
_SERVICES = ("gateway", "recommender", "embedder")
_PERSON = "planted.person@people.example"
_TRAIT = "Plantedia Namewell"
_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@dataclass(slots=True)
class Watched:
    """A Foreword under load, what watches it, and its database, which a drill takes away."""

    stack: Stack
    seen: Watching
    load: Load
    database: EmbeddedPostgres
    began: float
    spans: list[ReceivedSpan]

    @property
    def api(self) -> Api:
        return Api(self.stack.url, self.stack.keys["secret"])

    def text(self, service: str) -> str:
        port = getattr(self.stack.settings, service).metrics
        answer = urllib3.request(
            "GET", f"http://127.0.0.1:{port}/metrics", headers=_OPENMETRICS, retries=False
        )
        return answer.data.decode()

    def kill(self, service: str) -> None:
        """As a crash would: at once, workers and all."""
        (found,) = (one for one in self.stack.services.running if one.name == service)
        os.killpg(found.process.pid, signal.SIGKILL)
        found.process.wait(10)

    def logs(self) -> Iterator[tuple[Path, str]]:
        for path in sorted(self.stack.settings.logs_dir.glob("*.log")):
            for line in path.read_text(encoding="utf-8").splitlines():
                yield path, line


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    tool("prometheus", "prometheus")
    tool("prometheus-alertmanager", "prometheus-alertmanager")
    with ExitStack() as stack, own_folder() as folder:
        database = EmbeddedPostgres(folder / "postgres")
        settings = RunSettings.from_environment(
            {**environment(folder / "data"), "DATABASE_URL": database.url}
        )
        traces, spans = stack.enter_context(receiver())
        started = stack.enter_context(
            running(
                settings,
                lambda _: None,
                {
                    "FOREWORD_EMBEDDER_MODEL": "hashing-384",
                    "FOREWORD_CENSUS_SECONDS": "1",
                    "FOREWORD_LEARN_SECONDS": "2",
                    "FOREWORD_OTLP_ENDPOINT": traces,
                    "FOREWORD_TRACE_SAMPLE_RATIO": "0.2",
                },
            )
        )
        ports = {name: getattr(settings, name) for name in _SERVICES}
        stand_in = stack.enter_context(cluster({name: one.service for name, one in ports.items()}))
        targets = {name: one.metrics for name, one in ports.items()} | {"cluster": stand_in}
        began = time.time()
        seen = stack.enter_context(watching(targets, folder, times=_HURRY))
        load = Load(started.url, started.keys["secret"], [_PERSON, "ann", "bob"], slower=2.0)
        made = Watched(started, seen, load, database, began, spans)
        made.api.post("/v1/identify", {"userId": _PERSON, "traits": {"name": _TRAIT, "email": _PERSON}})
        made.api.put_asset("first", status="approved", topics=["alarms"], personas=["operations"])
        made.api.track("ann", "Opportunity Opened", context={"groupId": "acme.example"})
        load.start()
        try:
            yield made
        finally:
            load.stop()
            database.stop()


def test_every_panel_has_data_under_load(watched: Watched) -> None:
    wait_until(lambda: all(watched.seen.instant(late) for late in _LATE), 120, "the last figures come")
    left = contact_sheet.panels()
    assert len(left) > 80
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        now = time.time()
        left = [one for one in left if contact_sheet.read(watched.seen, *one, watched.began, now).is_empty]
    assert [f"{board}: {panel['title']}" for board, panel in left] == []


def test_what_is_emitted_is_what_the_catalogue_lists(watched: Watched) -> None:
    for service, ours in metric_table.definitions().items():
        found = parser.text_string_to_metric_families(watched.text(service))  # type: ignore[no-untyped-call]
        families = {family.name: family for family in found}
        emitted = {name for name in families if name.startswith("foreword_")}
        assert emitted == {one.name.removesuffix("_total") for one in ours}
        labels = {
            one.name.removesuffix("_total"): {label.name: label for label in one.labels} for one in ours
        }
        for name in emitted:
            for sample in families[name].samples:
                assert set(sample.labels) - {"le"} == set(labels[name]), name
                for label, value in sample.labels.items():
                    known = label != "le" and labels[name][label].values
                    assert not known or value in known, (name, label, value)


def test_promtool_finds_nothing_to_mend_in_the_metrics(watched: Watched) -> None:
    promtool = tool("promtool", "prometheus")
    for service in _SERVICES:
        port = getattr(watched.stack.settings, service).metrics
        plain = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False).data
        done = subprocess.run([promtool, "check", "metrics"], input=plain, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), service


def test_rules_dashboards_and_runbooks_name_only_what_is_there(watched: Watched) -> None:
    root = Path(generate.ROOT).parent
    rules = [rule for group in generate.rule_groups() for rule in group["rules"]]
    text = [rule["expr"] for rule in rules]
    for path in contact_sheet.DASHBOARDS.glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        text += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    for path in (root / "runbooks").glob("*.md"):
        text += re.findall(r"`([^`]+)`", path.read_text(encoding="utf-8"))
    named = set[str]().union(*(names_in(one) for one in text))
    assert len(named) > 80
    assert named - watched.seen.metric_names() == set()


def test_slow_requests_carry_the_way_to_their_trace(watched: Watched) -> None:
    name = "foreword_gateway_http_request_duration_seconds_bucket"
    found = watched.seen.exemplars(name, watched.began, time.time())
    ids = [one["labels"]["trace_id"] for series in found for one in series["exemplars"]]
    assert ids
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_a_request_is_one_trace_through_all_three_services(watched: Watched) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace}-{parent}-01", "Content-Type": "application/json"}
    body = b'{"user_id": "%s", "context": {"query": "a text of its own"}}' % _PERSON.encode()
    assert watched.api.send("POST", "/v1/recommendations", body, headers).status == 200

    def mine() -> list[ReceivedSpan]:
        return [span for span in list(watched.spans) if span.trace_id == trace]

    services = {f"foreword-{name}" for name in _SERVICES}
    wait_until(lambda: {span.service for span in mine()} == services, 60, "spans of all services")
    by_id = {span.span_id: span for span in mine()}
    (last,) = (span for span in mine() if span.service == "foreword-embedder")
    way = [last]
    while (above := by_id.get(way[-1].parent_id)) is not None:
        way.append(above)
    assert [span.service.removeprefix("foreword-") for span in way] == [
        "embedder",
        "recommender",
        "recommender",
        "gateway",
        "gateway",
    ]
    assert way[-1].parent_id == parent
    for span in list(watched.spans):
        assert _PERSON not in f"{span.name} {span.attributes}"


def test_counters_begin_anew_when_a_worker_is_restarted_and_are_scraped_again(watched: Watched) -> None:
    (embedder,) = (one for one in watched.stack.services.running if one.name == "embedder")
    (worker,) = psutil.Process(embedder.process.pid).children()
    texts = "sum(increase(foreword_embedder_texts_total[2m]))"
    (before,) = watched.seen.instant(texts)
    worker.kill()
    began = worker.create_time()

    def is_back() -> bool:
        found = watched.seen.instant('process_start_time_seconds{job="embedder"}')
        return bool(found) and found[0].values[0] > began + 1

    wait_until(is_back, 60, "the new worker is scraped")
    (after,) = watched.seen.instant(texts)
    assert after.values[0] >= 0.5 * before.values[0], "what was counted before the restart still counts"


def test_logs_are_json_with_ids_and_name_nobody(watched: Watched) -> None:
    headers = {"Content-Type": "application/json"}
    watched.api.send("POST", "/v1/recommendations", b'{"user_id": "%s"}' % _PERSON.encode(), headers)
    watched.api.send("GET", f"/v1/buyers/{_PERSON}", None, headers)
    lines = 0
    for path, line in watched.logs():
        record = json.loads(line)
        assert {"event", "timestamp", "level", "service"} <= set(record), (path, line)
        lines += 1
        for secret in (_PERSON, _TRAIT, *watched.stack.keys.values(), "fw_sk_not_a_key"):
            assert secret not in line, path
    assert lines > 5


def test_the_embedder_away_is_a_ticket_and_no_page(watched: Watched) -> None:
    before = _pages(watched)
    watched.kill("embedder")
    _wait_for(watched, ("ForewordEmbedderAway", "ticket"))
    _wait_for(watched, ("ForewordMetricsAbsent", "ticket"), held_back=True)
    assert _pages(watched) - before == set()


def test_the_database_away_is_one_page(watched: Watched) -> None:
    watched.database.stop()
    _wait_for(watched, ("ForewordDatabaseAway", "page"))
    _wait_for(watched, ("ForewordSignalsRefused", "page"), held_back=True)
    _wait_for(watched, ("ForewordAnswersDegraded", "page"), held_back=True)
    assert _pages(watched) == {"ForewordDatabaseAway"}


def test_an_id_is_forwarded_into_the_logs_of_those_who_are_called(watched: Watched) -> None:
    """The database is away by now, so that the recommender has something to say."""
    asked = "an-id-of-our-own-1"
    headers = {"X-Request-ID": asked, "Content-Type": "application/json"}
    answer = watched.api.send("POST", "/v1/track", b'{"userId": "ann", "event": "Pricing Viewed"}', headers)
    assert answer.status == 503
    found = [json.loads(line) for _, line in watched.logs() if asked in line]
    assert "recommender" in {one["service"] for one in found}
    assert {one["trace_id"] for one in found} == {answer.headers["traceparent"].split("-")[1]}


def test_the_recommender_away_is_one_page(watched: Watched) -> None:
    watched.kill("recommender")
    _wait_for(watched, ("ForewordRecommenderAway", "page"))
    _wait_for(watched, ("ForewordMetricsAbsent", "page"), held_back=True)
    assert _pages(watched) == {"ForewordRecommenderAway"}


def test_what_fails_can_be_found_by_its_request_id(watched: Watched) -> None:
    """The recommender is away by now: the gateway's own answer, and its own line in the log."""
    asked = "an-id-of-our-own-2"
    headers = {"X-Request-ID": asked, "Content-Type": "application/json"}
    answer = watched.api.send("POST", "/v1/track", b'{"userId": "ann", "event": "Pricing Viewed"}', headers)
    assert answer.status == 503
    assert answer.headers["x-request-id"] == asked
    found = [json.loads(line) for _, line in watched.logs() if asked in line]
    assert [one["service"] for one in found] == ["gateway"]
    assert found[0]["trace_id"] in answer.headers["traceparent"]


def test_each_drill_has_the_runbook_that_its_alert_names(watched: Watched) -> None:
    root = Path(generate.ROOT).parent
    links = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in generate.rule_groups()
        for rule in group["rules"]
        if "alert" in rule
    }
    for alert in ("ForewordEmbedderAway", "ForewordDatabaseAway", "ForewordRecommenderAway"):
        assert (root / "runbooks" / links[alert].rsplit("/", 1)[1]).exists()


def _pages(watched: Watched) -> set[str]:
    """But for slow answers: two cores carry two runs of tests, three services and a Prometheus here, so that
    100 ms are the machine's doing. `make drill-alerts` tells slow answers from before a drill.
    """
    pages = {alert for alert, severity in watched.seen.firing() if severity == "page"}
    return pages - {"ForewordRecommendationsSlow"}


def _wait_for(watched: Watched, alert: tuple[str, str], *, held_back: bool = False) -> None:
    def fires() -> bool:
        return alert in watched.seen.firing(inhibited=held_back)

    wait_until(fires, 90, f"{alert[0]} fires")
    assert (alert in watched.seen.firing()) is not held_back
