"""Rules that are hurried wait and look back less and judge the same; each drill has its alert."""

from __future__ import annotations

from pathlib import Path

from monitoring import alerts, generate
from monitoring.hurried import hurried
from monitoring.rehearsal import EXPECTED, Told, table

from foreword_dev.drill import DRILLS

RUNBOOKS = Path(__file__).resolve().parents[3] / "runbooks"


def test_waits_alone_are_shorter_unless_windows_are_asked_for() -> None:
    rule = {"alert": "A", "expr": "rate(x_total[5m]) > 2 * rate(x_total[5m] offset 1h)", "for": "2m"}
    group = {"name": "g", "interval": "30s", "rules": [rule]}
    (waits,) = hurried([group], times=12)[0]["rules"]
    assert waits == {**rule, "for": "10s"}
    (whole,) = hurried([group], times=12, windows=True)[0]["rules"]
    assert whole == {
        "alert": "A",
        "expr": "rate(x_total[25s]) > 2 * rate(x_total[25s] offset 300s)",
        "for": "10s",
    }
    assert rule["for"] == "2m", "the rules themselves stay as they are"


def test_every_window_of_every_rule_is_found() -> None:
    for group in hurried(generate.rule_groups(), times=12, windows=True):
        for rule in group["rules"]:
            for unit in "mhdw":
                assert f"{unit}]" not in rule["expr"], rule["expr"]


def test_every_drill_has_an_alert_that_pages_or_is_a_ticket_as_the_rules_say() -> None:
    assert set(EXPECTED) == {drill.name for drill in DRILLS}
    severities = {
        (rule["alert"], rule["labels"]["severity"]) for group in alerts.groups() for rule in group["rules"]
    }
    for expected in EXPECTED.values():
        if expected is not None:
            assert expected in severities
            assert (RUNBOOKS / f"{expected[0]}.md").exists()


def test_another_page_or_no_alert_fails_a_drill() -> None:
    (drill,) = (one for one in DRILLS if one.name == "recommender")
    right = ("ForewordRecommenderAway", "page")
    assert Told(drill, {right: 1.5}).passed
    assert not Told(drill, {}).passed
    assert not Told(drill, {right: 1.5, ("ForewordSignalsRefused", "page"): 4.0}).passed
    assert Told(drill, {right: 1.5, ("ForewordIndexStale", "ticket"): 4.0}).passed
    assert "**never**" in table([Told(drill, {})])


def test_a_drill_that_was_run_alone_replaces_its_own_row() -> None:
    one, other = (drill for drill in DRILLS if drill.name in ("embedder", "recommender"))
    away, wrong = ("ForewordEmbedderAway", "ticket"), ("ForewordAvailabilityBurn", "page")
    page = ("ForewordRecommenderAway", "page")
    first = table([Told(other, {page: 1.5}), Told(one, {away: 2.0, wrong: 3.0})])
    second = table([Told(one, {away: 2.5})], first)
    assert [line.split(" | ")[0] for line in second.splitlines()[2:]] == [
        f"| {one.title}",
        f"| {other.title}",
    ]
    assert "2.5" in second
    assert "1.5" in second
    assert "ForewordAvailabilityBurn" in first
    assert "ForewordAvailabilityBurn" not in second
