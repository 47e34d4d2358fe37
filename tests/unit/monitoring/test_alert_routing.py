"""Pages, tickets and the watchdog go where they belong, judged by Alertmanager's own amtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring import generate

from unit.monitoring.debian_tools import tool

CONFIG = Path(__file__).resolve().parents[3] / "monitoring" / "alertmanager.example.yml"
_RECEIVERS = {"page": "on-call", "ticket": "tickets", "none": "watchdog"}
ALERTS = [rule for group in generate.rule_groups() for rule in group["rules"] if "alert" in rule]


@pytest.fixture(scope="module")
def amtool() -> str:
    return tool("amtool", "prometheus-alertmanager")


def _receiver(amtool: str, labels: dict[str, str], config: Path = CONFIG) -> str:
    said = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={config}", *said],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_the_example_is_well_formed(amtool: str) -> None:
    done = subprocess.run([amtool, "check-config", str(CONFIG)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("severity", ["page", "ticket", "none"])
def test_each_severity_goes_to_its_receiver(amtool: str, severity: str) -> None:
    for alert in [alert for alert in ALERTS if alert["labels"]["severity"] == severity][:3]:
        labels = {"alertname": alert["alert"], "namespace": "foreword", **alert["labels"]}
        # One without a severity goes to nobody; it is there to inhibit others.
        wanted = "nobody" if alert["alert"] == "ForewordPartWasAway" else _RECEIVERS[severity]
        assert _receiver(amtool, labels) == wanted


def test_a_route_that_is_missing_would_be_seen(amtool: str, tmp_path: Path) -> None:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    document["route"]["routes"] = []
    broken = tmp_path / "alertmanager.yml"
    broken.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert _receiver(amtool, {"severity": "page", "alertname": "ForewordIndexEmpty"}, broken) == "tickets"


def test_inhibitions_name_alerts_that_there_are() -> None:
    known = {alert["alert"] for alert in ALERTS}
    for matcher in _alertname_matchers():
        for name in _spelled_out(matcher):
            assert name in known, name


def test_a_page_silences_the_ticket_of_the_same_objective() -> None:
    first: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"][0]
    assert first["source_matchers"] == ['severity="page"']
    assert first["target_matchers"] == ['severity="ticket"']
    assert {"alertname", "slo", "namespace"} <= set(first["equal"])


def _alertname_matchers() -> list[str]:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return [
        matcher.split("=", 1)[1].lstrip("~").strip('"')
        for one in document["inhibit_rules"]
        for matcher in (*one["source_matchers"], *one["target_matchers"])
        if matcher.startswith("alertname")
    ]


def _spelled_out(pattern: str) -> list[str]:
    head, bracket, tail = pattern.partition("(")
    return [head + one for one in tail.rstrip(")").split("|")] if bracket else pattern.split("|")
