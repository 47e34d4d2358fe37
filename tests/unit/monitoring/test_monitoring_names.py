"""Rules, dashboards and runbooks name only what the services measure, and every alert has its runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from monitoring import generate, metric_table, objectives

from servicekit.metrics import LATENCY_BUCKETS
from unit.monitoring.metric_catalogue import labels_in, names_in

ROOT = Path(__file__).resolve().parents[3]
KNOWN = metric_table.series()
# Put on by Prometheus or by rules, not by the services.
TARGET_LABELS = {"namespace", "job", "instance", "pod", "service", "slo"}
SERVICES = Path(__file__).resolve().parents[3] / "services"
RULES: list[dict[str, Any]] = [rule for group in generate.rule_groups() for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
RUNBOOKS = sorted((ROOT / "runbooks").glob("*.md"))
ALERT_RUNBOOKS = [path for path in RUNBOOKS if path.stem.startswith("Foreword")]


BOARDS = sorted((ROOT / "monitoring" / "dashboards").glob("*.json"))


def _panels() -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.stem, panel)
        for path in BOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        if panel["type"] != "row"
    ]


def _queries() -> list[tuple[str, str]]:
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    found += [(p["title"], t["expr"]) for _, p in _panels() for t in p["targets"]]
    for path in RUNBOOKS:
        found += [(path.stem, code) for code in re.findall(r"`([^`]+)`", path.read_text(encoding="utf-8"))]
    return found


def test_metrics_are_defined_where_the_catalogue_finds_them() -> None:
    meters = {"gateway/metrics.py", "service/meters.py", "embedder/meters.py", "servicekit/metrics.py"}
    for path in SERVICES.glob("*/src/**/*.py"):
        if not str(path).endswith(tuple(meters)):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"metrics\.(counter|gauge|histogram)\(", text), path
            assert not re.search(r"\b(Counter|Gauge|Histogram)\(\s*f?\"foreword", text), path


def test_every_metric_says_what_bounds_its_labels() -> None:
    for ours in metric_table.definitions().values():
        for one in ours:
            assert one.help.endswith("."), one.name
            assert re.fullmatch(r"foreword_[a-z]+(_[a-z]+)+", one.name), one.name
            assert all(label.values or label.bound for label in one.labels), one.name


def test_every_background_loop_is_in_the_catalogue_and_in_its_runbook() -> None:
    told = (ROOT / "runbooks" / "ForewordLoopFailing.md").read_text(encoding="utf-8")
    seen = 0
    for service, ours in metric_table.definitions().items():
        (labels,) = (one.labels for one in ours if one.name == f"foreword_{service}_loop_failures_total")
        listed = set(labels[0].values)
        started = set[str]()
        for path in (SERVICES / service / "src").rglob("*.py"):
            found = re.findall(r'(?:\bloop|BackgroundLoop)\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
            started |= set(found)
        assert started == listed - {"start"}, service
        assert {name for name in listed if f"`{name}`" not in told} == set(), service
        seen += len(started)
    assert seen > 15, "the pattern finds loops at all"


def test_every_query_names_metrics_that_exist() -> None:
    seen = 0
    for where, query in _queries():
        names = names_in(query)
        seen += len(names)
        assert names <= set(KNOWN) | RECORDED, where
    assert seen > 100, "the pattern finds names at all"


def test_every_label_in_a_query_is_one_of_its_metrics() -> None:
    for where, query in _queries():
        names = names_in(query)
        if names:
            own = frozenset[str]().union(*(KNOWN.get(name, frozenset()) for name in names))
            assert labels_in(query) <= own | TARGET_LABELS, where


def test_an_unknown_metric_or_label_would_be_seen() -> None:
    assert names_in('rate(foreword_gateway_nothing_total{a="foreword_x"}[5m])') == {
        "foreword_gateway_nothing_total"
    }
    assert labels_in('sum by (le, route) (rate(x{status="5xx",kind=~"a=b"}[5m]))') == {
        "le",
        "route",
        "status",
        "kind",
    }
    assert KNOWN["foreword_gateway_clicks_total"] == {"outcome"}
    assert "foreword_gateway_nothing_total" not in KNOWN
    assert KNOWN["foreword_recommender_asset_servable_seconds_bucket"] == {"le"}


def test_buckets_have_a_bound_at_each_objective() -> None:
    bounds = {f"{bound}" for bound in LATENCY_BUCKETS}
    used = {b for one in objectives.read() for b in re.findall(r'le="([^"]+)"', one.bad)}
    assert used == {"0.1", "10.0"}
    assert used <= bounds


def test_routes_in_objectives_are_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    paths = set(document["paths"])
    by_name = {one.name: one for one in objectives.read()}
    (latency,) = set(re.findall(r'route="([^"]+)"', by_name["recommendation_latency"].total))
    assert latency in paths
    (pattern,) = set(re.findall(r'route=~"([^"]+)"', by_name["signals_acknowledged"].total))
    tracking = {path for path in paths if re.fullmatch(pattern, path)}
    described = {
        path
        for path, item in document["paths"].items()
        if "post" in item
        and "Signals" in item["post"].get("tags", [])
        and path not in {"/v1/m", "/v1/signals:validate"}
    }
    assert tracking == described


def test_generated_files_are_what_the_code_makes() -> None:
    for path, text in generate.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python -m monitoring.generate"


def test_every_alert_says_what_it_is_and_has_a_runbook() -> None:
    for alert in ALERTS:
        name = alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket", "none")
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
        assert alert["annotations"]["runbook_url"].endswith(f"/{name}.md")
    assert {alert["alert"] for alert in ALERTS} == {path.stem for path in ALERT_RUNBOOKS}
    tasks = {path.stem for path in RUNBOOKS} - {path.stem for path in ALERT_RUNBOOKS}
    assert tasks == {
        "rollback",
        "restore",
        "index-rebuild",
        "key-rotation",
        "model-upgrade",
        "erasure-request",
    }


@pytest.mark.parametrize("path", ALERT_RUNBOOKS, ids=lambda p: p.stem)
def test_a_runbook_says_what_it_means_and_what_to_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.stem}\n")
    for part in ("**Meaning.**", "**Impact.**", "**Find out**", "**Do**"):
        assert part in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists()


def test_every_panel_says_what_it_shows() -> None:
    for board, panel in _panels():
        where = f"{board}: {panel['title']}"
        assert panel["description"].endswith("."), where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        # An alert on something that is absent has no namespace.
        queries = [t["expr"] for t in panel["targets"] if not t["expr"].startswith("count by (alertname")]
        assert all('namespace=~"$namespace"' in query for query in queries), where
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, where


def test_every_dashboard_has_its_variables_links_and_annotations() -> None:
    boards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in BOARDS}
    assert set(boards) == {"overview", "recommender", "embedder", "ingest", "kubernetes", "marketing-and-it"}
    for name, board in boards.items():
        variables = {one["name"] for one in board["templating"]["list"]}
        assert {"datasource", "traces", "namespace", "service", "pod"} <= variables, name
        assert {"Foreword", "Runbooks", "Traces"} <= {one["title"] for one in board["links"]}, name
        marked = {one["name"]: one["expr"] for one in board["annotations"]["list"] if "expr" in one}
        assert set(marked) == {"Release", "Model"}, name
        for expr in marked.values():
            assert names_in(expr) <= set(KNOWN), name


def test_panels_do_not_lie_upon_one_another() -> None:
    taken: dict[tuple[str, int, int], str] = {}
    for board, panel in _panels():
        spot = panel["gridPos"]
        for x in range(spot["x"], spot["x"] + spot["w"]):
            for y in range(spot["y"], spot["y"] + spot["h"]):
                assert taken.setdefault((board, x, y), panel["title"]) == panel["title"]


def test_a_mistake_in_the_objectives_is_named(tmp_path: Path) -> None:
    good = objectives.SLO_FILE.read_text(encoding="utf-8")
    wrong = tmp_path / "slos.yaml"
    for old, new, said in (
        ("window: 30d", "window: 7d", "30d"),
        ("objective: 0.999", "objective: 99.9", "availability"),
        ("alert: ForewordAvailabilityBurn", "alert: burn", "availability"),
        ("minimum_events: 50", "minimum: 50", "minimum"),
        ("[$window]", "[5m]", "availability"),
        ("alert: ForewordUploadsSlow", "alert: ForewordSignalsRefused", "alert"),
    ):
        wrong.write_text(good.replace(old, new), encoding="utf-8")
        with pytest.raises(objectives.ObjectiveInvalid, match=said):
            objectives.read(wrong)
