"""`foreword calibrate` from the database to what is shown: refused, tried, stored, taken up, taken back."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from recommender.commands.calibrate import calibrate
from recommender_rig import NOON, Rig, RigMaker

Event = dict[str, Any]
BUYING = ("Product Viewed", "Pricing Viewed", "Documentation Viewed")
READING = ("Email Opened", "Careers Viewed", "Email Opened")


def call(event: str, account: int, at: datetime) -> Event:
    stamp = at.isoformat().replace("+00:00", "Z")
    context = {"groupId": f"account-{account}"}
    who = f"person-{account}"
    message = f"{account}-{event}-{stamp}"
    event_of = {"type": "track", "event": event, "userId": who, "messageId": message}
    return {**event_of, "timestamp": stamp, "context": context, "properties": {}}


def firm() -> list[Event]:
    """60 accounts over a year: every second one looks at prices and opens an opportunity, the others read."""
    calls: list[Event] = []
    for account in range(60):
        begin = NOON - timedelta(days=330 - 3 * account)
        for n in range(3):
            events = BUYING if account % 2 else READING
            calls.append(call(events[n], account, begin + timedelta(days=7 * n)))
        if account % 2:
            calls.append(call("Opportunity Opened", account, begin + timedelta(days=40)))
            calls.append(call("Opportunity Lost", account, begin + timedelta(days=90)))
    return calls


@pytest.fixture
def stages_file(tmp_path: Path) -> Path:
    """The packaged model that asks for fewer outcomes, so that the test stays small."""
    text = files("recommender").joinpath("stages.toml").read_text(encoding="utf-8")
    for old, new in (
        ("least_outcomes = 200", "least_outcomes = 50"),
        ("step_days = 15.0", "step_days = 10.0"),
        ("strengths = [3.0, 30.0, 300.0]", "strengths = [3.0]"),
        ("folds = 5", "folds = 2"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "stages.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(rig: Rig, *arguments: str) -> Result:
    url = rig.engine.url.render_as_string(hide_password=False)
    return CliRunner().invoke(calibrate, ["--database-url", url, *arguments])


def stage_of(rig: Rig, user: str) -> dict[str, Any]:
    answer = rig.client.get(f"/v1/buyers/{user}").json
    assert answer is not None
    return dict(answer["stage"])


def intent(stage: dict[str, Any]) -> float:
    return float(stage["distribution"]["consideration"] + stage["distribution"]["decision"])


def from_evidence(stage: dict[str, Any]) -> float:
    return 1 / (1 + math.exp(-sum(one["effect"] for one in stage["evidence"])))


def stored(rig: Rig) -> list[tuple[int, bool]]:
    rows = rig.rows("SELECT version, retired_at IS NULL FROM recommender.calibrations ORDER BY version")
    return [(int(version), bool(served)) for version, served in rows]


def test_a_calibration_is_learnt_served_by_every_replica_and_taken_back(
    make_recommender: RigMaker, stages_file: Path, tmp_path: Path
) -> None:
    one, other = make_recommender(stages_file=stages_file), make_recommender(stages_file=stages_file)
    one.send(*firm())
    now = NOON - timedelta(days=3)
    one.send(call("Pricing Viewed", 900, now), call("Email Opened", 901, now))

    refused = run(one)
    assert refused.exit_code != 0
    assert "60 outcomes known, 200 are needed" in refused.output
    anchored = {user: stage_of(one, user) for user in ("person-900", "person-901")}
    for stage in anchored.values():
        assert from_evidence(stage) == pytest.approx(intent(stage), abs=2e-4)
        assert "outcomes" not in [one["signal"] for one in stage["evidence"]]

    tried = run(one, "--stages-file", str(stages_file), "--dry-run", "--json", str(tmp_path / "found.json"))
    assert tried.exit_code == 0, tried.output
    assert "base rate" in tried.output
    assert "fitted points" in tried.output
    rows = {row["name"]: row for row in orjson.loads((tmp_path / "found.json").read_bytes())["rows"]}
    assert rows["foreword, calibrated"]["log_loss"] < rows["base rate"]["log_loss"]
    assert stored(one) == []

    assert run(one, "--stages-file", str(stages_file)).exit_code == 0
    assert [served for _, served in stored(one)] == [True]
    for rig in (one, other):
        rig.parts["calibrations"].refresh()
    pricing, email = stage_of(other, "person-900"), stage_of(other, "person-901")
    assert intent(pricing) > intent(email)
    for stage in (pricing, email):
        assert stage["evidence"][-1]["signal"] == "outcomes"
        assert from_evidence(stage) == pytest.approx(intent(stage), abs=2e-4)
        assert sum(stage["distribution"].values()) == pytest.approx(1, abs=1e-3)
    assert stage_of(one, "person-900") == pricing
    assert pricing["distribution"] != anchored["person-900"]["distribution"]

    back = run(one, "--revert")
    assert back.exit_code == 0, back.output
    assert "the configured prevalence is served now" in back.output
    one.parts["calibrations"].refresh()
    assert stage_of(one, "person-900")["distribution"] == anchored["person-900"]["distribution"]
    again = run(one, "--revert")
    assert "no calibration to take back" in again.output


def test_a_calibration_of_another_stage_file_or_that_cannot_be_read_is_not_served(recommender: Rig) -> None:
    keeper = recommender.parts["calibrations"]
    with recommender.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO recommender.calibrations (stage_version, body, report, created_at) "
                "VALUES ('x', '{\"format\": 99}', '[]', now())"
            )
        )
    keeper.refresh()
    assert keeper.calibration() is None


def test_files_serve_where_there_is_no_database(tmp_path: Path, stages_file: Path) -> None:
    signals = tmp_path / "signals.ndjson"
    signals.write_bytes(b"\n".join(orjson.dumps(one) for one in firm()))
    arguments = ["--signals", str(signals), "--stages-file", str(stages_file)]
    arguments += ["--json", str(tmp_path / "out.json")]
    found = CliRunner().invoke(calibrate, arguments, env={"DATABASE_URL": None})
    assert found.exit_code == 0, found.output
    assert "nothing was stored" in found.output
    assert orjson.loads((tmp_path / "out.json").read_bytes())["calibration"]["outcome_count"] == 60
    neither = CliRunner().invoke(calibrate, [], env={"DATABASE_URL": None})
    assert neither.exit_code != 0
