"""Each alert fires on its case and is silent on its neighbour, judged by Prometheus's own promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.monitoring.alert_cases import (
    ALL_HEARD,
    CAUSE_CASES,
    HOURLY_CASES,
    OBJECTIVE_CASES,
    Case,
    traffic,
)
from unit.monitoring.debian_tools import tool

MONITORING = Path(__file__).resolve().parents[3] / "monitoring"
RULES = MONITORING / "rules" / "foreword.yaml"


@pytest.fixture
def promtool() -> str:
    return tool("promtool", "prometheus")


def _judge(
    promtool: str,
    folder: Path,
    cases: list[Case],
    *,
    heard: dict[str, str],
    hourly: bool = False,
    rules: Path = RULES,
) -> str:
    """→ what promtool has to say; empty when each case fires what it should and nothing else."""
    tests = []
    for case in cases:
        expected = _expected(case)
        tests.append(
            {
                "interval": "1h" if hourly else "1m",
                "name": case.name,
                "input_series": [
                    {"series": series, "values": values} for series, values in (heard | case.series).items()
                ],
                "promql_expr_test": [
                    {
                        "expr": "count by (alertname, severity) "
                        '(ALERTS{alertstate="firing",alertname!="ForewordWatchdog"})',
                        "eval_time": f"{case.minutes}m",
                        "exp_samples": expected,
                    }
                ],
            }
        )
    file = folder / "cases.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules)], "evaluation_interval": "1h" if hourly else "5m", "tests": tests}
        ),
        encoding="utf-8",
    )
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _without_objectives(folder: Path) -> Path:
    """The rules that look at no objective: a hundred recordings less to work out for each case."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    document["groups"] = [group for group in document["groups"] if "-slo-" not in group["name"]]
    file = folder / "causes.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def _expected(case: Case) -> list[dict[str, Any]]:
    pairs = [fires.split("/") for fires in case.fires]
    return [{"labels": f'{{alertname="{a}", severity="{s}"}}', "value": 1} for a, s in pairs]


def test_the_rules_are_well_formed(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_configuration_is_well_formed(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", str(MONITORING / "prometheus.example.yml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_each_alert_fires_on_its_case_and_not_on_its_neighbour(promtool: str, tmp_path: Path) -> None:
    causes = _without_objectives(tmp_path)
    assert _judge(promtool, tmp_path, OBJECTIVE_CASES, heard=ALL_HEARD) == ""
    assert _judge(promtool, tmp_path, CAUSE_CASES, heard=ALL_HEARD, rules=causes) == ""
    assert _judge(promtool, tmp_path, HOURLY_CASES, heard=ALL_HEARD, rules=causes, hourly=True) == ""


@pytest.mark.slow
def test_a_service_that_is_not_heard_of_is_reported(promtool: str, tmp_path: Path) -> None:
    silent = Case("nobody is heard of", {}, 10, ())
    said = _judge(promtool, tmp_path, [silent], heard={"unrelated": "1x30"})
    assert "ForewordMetricsAbsent" in said
    for service, severity in (("gateway", "page"), ("recommender", "page"), ("embedder", "ticket")):
        heard = {k: v for k, v in ALL_HEARD.items() if service not in k}
        case = Case(service, {}, 10, (f"ForewordMetricsAbsent/{severity}",))
        assert _judge(promtool, tmp_path, [case], heard=heard) == ""


def test_every_alert_has_a_case() -> None:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    stated = {
        f"{rule['alert']}/{rule['labels']['severity']}"
        for group in document["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    tried = {one for case in [*OBJECTIVE_CASES, *CAUSE_CASES, *HOURLY_CASES] for one in case.fires}
    assert stated - tried == {
        "ForewordMetricsAbsent/page",
        "ForewordMetricsAbsent/ticket",
        "ForewordWatchdog/none",
    }


def test_every_case_that_fires_has_a_neighbour_on_the_same_metrics() -> None:
    cases = [*OBJECTIVE_CASES, *CAUSE_CASES, *HOURLY_CASES]
    for case in cases:
        names = {series.partition("{")[0] for series in case.series}
        beside = [one for one in cases if {series.partition("{")[0] for series in one.series} == names]
        for fires in case.fires:
            assert any(fires not in one.fires for one in beside), f"{case.name}: {fires}"


@pytest.mark.slow
def test_a_wrong_expectation_would_be_seen(promtool: str, tmp_path: Path) -> None:
    wrong = Case("nothing fails", traffic(0, 100, minutes=90), 90, ("ForewordAvailabilityBurn/page",))
    assert "FAILED" in _judge(promtool, tmp_path, [wrong], heard=ALL_HEARD)


def test_the_watchdog_always_fires(promtool: str, tmp_path: Path) -> None:
    test = {
        "interval": "1m",
        "input_series": [{"series": "unrelated", "values": "1x10"}],
        "alert_rule_test": [
            {
                "eval_time": "1m",
                "alertname": "ForewordWatchdog",
                "exp_alerts": [
                    {"exp_labels": {"severity": "none"}, "exp_annotations": _annotations("ForewordWatchdog")}
                ],
            }
        ],
    }
    file = tmp_path / "watchdog.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def _annotations(alert: str) -> dict[str, str]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    (found,) = [r for group in document["groups"] for r in group["rules"] if r.get("alert") == alert]
    return dict(found["annotations"])
