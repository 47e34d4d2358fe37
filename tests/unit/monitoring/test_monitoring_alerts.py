"""Each alert fires on its case and is silent on its neighbour, judged by Prometheus's own promtool."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

MONITORING = Path(__file__).resolve().parents[3] / "monitoring"
RULES = MONITORING / "rules" / "foreword.yaml"
_ROUTE = 'route="/v1/recommendations",method="POST"'
_HTTP = "foreword_gateway_http_requests_total"
_LATENCY = "foreword_gateway_http_request_duration_seconds"
_ANSWERS = "foreword_gateway_recommendations_total"


@dataclass(frozen=True, slots=True)
class Case:
    """Series as promtool writes them, a minute apart, and which alerts fire by then (a multiple of 5)."""

    name: str
    series: dict[str, str]
    minutes: int
    fires: tuple[str, ...]  # alert/severity


def _traffic(bad: float, good: float, *, minutes: int) -> dict[str, str]:
    return {
        f'{_HTTP}{{namespace="f",{_ROUTE},status="5xx"}}': f"0+{bad}x{minutes}",
        f'{_HTTP}{{namespace="f",{_ROUTE},status="2xx"}}': f"0+{good}x{minutes}",
    }


def _slow(under: float, all_of_them: float) -> dict[str, str]:
    return {
        f'{_LATENCY}_bucket{{namespace="f",{_ROUTE},le="0.1"}}': f"0+{under}x90",
        f'{_LATENCY}_count{{namespace="f",{_ROUTE}}}': f"0+{all_of_them}x90",
    }


def _uploads(under: float, all_of_them: float) -> dict[str, str]:
    name = "foreword_recommender_asset_servable_seconds"
    return {
        f'{name}_bucket{{namespace="f",le="10.0"}}': f"0+{under}x90",
        f'{name}_count{{namespace="f"}}': f"0+{all_of_them}x90",
    }


def _signals(bad: float, good: float) -> dict[str, str]:
    return {
        f'{_HTTP}{{namespace="f",route="/v1/batch",method="POST",status="5xx"}}': f"0+{bad}x90",
        f'{_HTTP}{{namespace="f",route="/v1/t",method="POST",status="2xx"}}': f"0+{good}x90",
    }


def _answers(degraded: float, full: float) -> dict[str, str]:
    return {
        f'{_ANSWERS}{{namespace="f",tier="popular",degraded="true"}}': f"0+{degraded}x90",
        f'{_ANSWERS}{{namespace="f",tier="personal",degraded="false"}}': f"0+{full}x90",
    }


def _index(assets: str, answers: str) -> dict[str, str]:
    return {
        'foreword_recommender_index_assets{namespace="f",instance="a"}': assets,
        f'{_ANSWERS}{{namespace="f",tier="static",degraded="false"}}': answers,
    }


_OLDEST = 'foreword_recommender_embedding_oldest_pending_seconds{namespace="f"}'
_LOOP = 'foreword_recommender_loop_failures_total{namespace="f",loop="follow"}'
# Young systems have no three days of history: a fast burn is also a slow one by its average so far.
CASES = [
    Case(
        "2% fail for 90 minutes",
        _traffic(2, 98, minutes=90),
        90,
        ("ForewordAvailabilityBurn/page", "ForewordAvailabilityBurn/ticket"),
    ),
    Case("nothing fails", _traffic(0, 100, minutes=90), 90, ()),
    Case("all fail, but hardly anybody asks", _traffic(0.1, 0.0, minutes=90), 90, ()),
    Case("the budget is spent just as fast as it may", _traffic(0.09, 99.91, minutes=90), 90, ()),
    Case(
        "twice as fast leaks for a ticket, not for a page",
        _traffic(0.2, 99.8, minutes=90),
        90,
        ("ForewordAvailabilityBurn/ticket",),
    ),
    Case(
        "it was bad and is over: no page any more",
        {
            f'{_HTTP}{{namespace="f",{_ROUTE},status="5xx"}}': "0+2x60 120x60",
            f'{_HTTP}{{namespace="f",{_ROUTE},status="2xx"}}': "0+98x120",
        },
        120,
        ("ForewordAvailabilityBurn/ticket",),
    ),
    Case(
        "a fifth is slow",
        _slow(80, 100),
        90,
        ("ForewordRecommendationsSlow/page", "ForewordRecommendationsSlow/ticket"),
    ),
    Case("half a percent is slow", _slow(99.5, 100), 90, ()),
    Case(
        "a third of the uploads takes long",
        _uploads(2, 3),
        90,
        ("ForewordUploadsSlow/page", "ForewordUploadsSlow/ticket"),
    ),
    Case("every upload is quick", _uploads(3, 3), 90, ()),
    Case(
        "signals are refused, which counts as unavailable too",
        _signals(5, 95),
        90,
        (
            "ForewordAvailabilityBurn/page",
            "ForewordAvailabilityBurn/ticket",
            "ForewordSignalsRefused/page",
            "ForewordSignalsRefused/ticket",
        ),
    ),
    Case("signals are stored", _signals(0, 95), 90, ()),
    Case(
        "half of the answers are degraded",
        _answers(50, 50),
        90,
        ("ForewordAnswersDegraded/page", "ForewordAnswersDegraded/ticket"),
    ),
    Case("one in two hundred is degraded", _answers(0.5, 99.5), 90, ()),
    Case("an empty index under load", _index("0x30", "0+60x30"), 30, ("ForewordIndexEmpty/page",)),
    Case("an empty index, nobody asks", _index("0x30", "5x30"), 30, ()),
    Case("an index with an asset", _index("1x30", "0+60x30"), 30, ()),
    Case("an old backlog", {_OLDEST: "0+60x30"}, 30, ("ForewordEmbeddingBacklogOld/ticket",)),
    Case("a young backlog", {_OLDEST: "120x30"}, 30, ()),
    Case("a loop that fails on", {_LOOP: "0+2x40"}, 40, ("ForewordLoopFailing/ticket",)),
    Case("a loop that failed a few times", {_LOOP: "0+1x3 3x37"}, 40, ()),
]
_ALL_HEARD = {
    f'foreword_{service}_build_info{{namespace="f",version="0"}}': "1x180"
    for service in ("gateway", "recommender", "embedder")
}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


def _judge(promtool: str, folder: Path, cases: list[Case], *, heard: dict[str, str]) -> str:
    """→ what promtool has to say; empty when each case fires what it should and nothing else."""
    tests = []
    for case in cases:
        expected = _expected(case)
        tests.append(
            {
                "interval": "1m",
                "name": case.name,
                "input_series": [
                    {"series": series, "values": values} for series, values in (heard | case.series).items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{case.minutes}m",
                        "exp_samples": expected,
                    }
                ],
            }
        )
    file = folder / "cases.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": tests}),
        encoding="utf-8",
    )
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


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
@pytest.mark.slow
def test_each_alert_fires_on_its_case_and_not_on_its_neighbour(promtool: str, tmp_path: Path) -> None:
    assert _judge(promtool, tmp_path, CASES, heard=_ALL_HEARD) == ""


@pytest.mark.slow
def test_a_service_that_is_not_heard_of_is_reported(promtool: str, tmp_path: Path) -> None:
    silent = Case("nobody is heard of", {}, 10, ())
    said = _judge(promtool, tmp_path, [silent], heard={"unrelated": "1x30"})
    assert "ForewordMetricsAbsent" in said
    for service, severity in (("gateway", "page"), ("recommender", "page"), ("embedder", "ticket")):
        heard = {k: v for k, v in _ALL_HEARD.items() if service not in k}
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
    tried = {one for case in CASES for one in case.fires}
    assert stated - tried == {"ForewordMetricsAbsent/page", "ForewordMetricsAbsent/ticket"}


@pytest.mark.slow
def test_a_wrong_expectation_would_be_seen(promtool: str, tmp_path: Path) -> None:
    wrong = Case("nothing fails", _traffic(0, 100, minutes=90), 90, ("ForewordAvailabilityBurn/page",))
    assert "FAILED" in _judge(promtool, tmp_path, [wrong], heard=_ALL_HEARD)
