"""`make run`, as somebody sees it who has just cloned the repository."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from e2e.first_day import FirstDay
from e2e.foreword_process import REPOSITORY, UserRun, environment, still_running

pytestmark = pytest.mark.slow


def _refused(settings: dict[str, str]) -> str:
    """A start that cannot succeed. → what it said, after asserting that it ended with 1."""
    done = subprocess.run(
        [sys.executable, "-m", "foreword_dev.run"],
        env={**os.environ, "COLUMNS": "80", **settings},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    sentences = [line for line in said.splitlines() if line.strip()]
    assert len(sentences) == 1, said
    assert sentences[0].startswith("Foreword did not start: ")
    return sentences[0]


def test_it_shows_three_buyers_with_reasons_and_where_to_go(first_day: FirstDay) -> None:
    buyers = orjson.loads((REPOSITORY / "sample" / "buyers.json").read_bytes())
    stages = []
    for buyer in buyers:
        start = first_day.first.index(buyer["name"])
        part = first_day.first[start : start + 1500]
        stages.append(part.split("stage: ")[1].split()[0])
        for place in ("1.", "2.", "3."):
            assert place in part
    assert len(buyers) == 3
    assert len(set(stages)) == 3, stages
    assert "tier: personal" in first_day.first
    port = first_day.settings["FOREWORD_GATEWAY_PORT"]
    assert f"http://127.0.0.1:{port}/docs" in first_day.first
    assert f"http://127.0.0.1:{port}/openapi.json" in first_day.first
    assert str(Path(first_day.settings["FOREWORD_DATA_DIR"]) / "keys.json") in first_day.first
    assert "Not loaded" not in first_day.first
    assert "Warning" not in first_day.first


def test_the_printed_curl_line_works_when_pasted(first_day: FirstDay) -> None:
    assert first_day.curl.status == 200, first_day.curl.body
    answer = first_day.curl.json()
    assert len(answer["items"]) == 3
    assert answer["meta"]["tier"] == "personal"
    for item in answer["items"]:
        assert item["title"]
        assert item["reasons"], item
        assert all(reason["text"] and reason["code"] for reason in item["reasons"])


def test_the_keys_are_for_their_owner_alone(first_day: FirstDay) -> None:
    assert first_day.keys_mode == 0o600


def test_ctrl_c_stops_everything_and_leaves_nothing(first_day: FirstDay) -> None:
    assert first_day.stop_seconds < 30
    assert first_day.stop_code == 0
    assert first_day.left_processes == []
    assert first_day.left_ports == []
    assert first_day.left_sockets == []
    assert "Traceback" not in first_day.first


def test_a_second_start_is_quick_and_loads_nothing_again(first_day: FirstDay) -> None:
    assert first_day.second_recommender_requests == 0
    assert first_day.second_ready_seconds < 30
    assert "tier: personal" in first_day.second


def test_a_port_in_use_is_one_sentence(folder: Path) -> None:
    settings = environment(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings["FOREWORD_RECOMMENDER_PORT"])))
        taken.listen()
        said = _refused(settings)
    assert settings["FOREWORD_RECOMMENDER_PORT"] in said
    assert "FOREWORD_RECOMMENDER_PORT" in said


def test_a_metrics_port_in_use_names_the_setting_that_changes_it(folder: Path) -> None:
    settings = environment(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings["FOREWORD_EMBEDDER_METRICS_PORT"])))
        taken.listen()
        said = _refused(settings)
    assert "FOREWORD_EMBEDDER_METRICS_PORT" in said


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://localhost/x", "postgresql://"),
        ("postgresql://127.0.0.1:1/nowhere", "DATABASE_URL"),
        ("postgresql://no-such-host.invalid/x", "DATABASE_URL"),
        ("postgresql://127.0.0.1:not-a-port/x", "DATABASE_URL"),
    ],
)
def test_a_bad_database_url_is_one_sentence(folder: Path, url: str, word: str) -> None:
    assert word in _refused({**environment(folder), "DATABASE_URL": url})


@pytest.mark.parametrize("port", ["70000", "eighty", "0", "-1"])
def test_a_wrong_port_is_one_sentence(folder: Path, port: str) -> None:
    assert "FOREWORD_GATEWAY_PORT" in _refused({**environment(folder), "FOREWORD_GATEWAY_PORT": port})


def test_one_port_for_two_services_is_one_sentence(folder: Path) -> None:
    settings = environment(folder)
    said = _refused({**settings, "FOREWORD_GATEWAY_PORT": settings["FOREWORD_EMBEDDER_PORT"]})
    assert "FOREWORD_GATEWAY_PORT" in said
    assert "FOREWORD_EMBEDDER_PORT" in said


def test_a_data_folder_that_cannot_be_made_is_one_sentence(folder: Path) -> None:
    (folder / "file").write_text("not a folder")
    assert "data folder" in _refused({**environment(folder), "FOREWORD_DATA_DIR": str(folder / "file" / "x")})


def _starts(run: UserRun) -> bool:
    return (run.folder / "logs" / "embedder.log").exists()


def _makes_its_database(run: UserRun) -> bool:
    return (run.folder / "postgres" / "PG_VERSION").exists()


def _waits_for_its_services(run: UserRun) -> bool:
    return (run.folder / "logs" / "gateway.log").exists()


def _comes_up_again(run: UserRun, folder: Path) -> None:
    """As far as its keys, for which the database must be there whole."""
    again = UserRun(run.settings, folder / "again.txt")
    try:
        while not (again.folder / "keys.json").exists():
            assert again.process.poll() is None, again.text
            time.sleep(0.02)
    finally:
        again.end()


@pytest.mark.parametrize("moment", [_starts, _makes_its_database, _waits_for_its_services])
def test_ctrl_c_while_it_starts_stops_it_and_leaves_nothing_broken(
    folder: Path, moment: Callable[[UserRun], bool]
) -> None:
    run = UserRun(environment(folder / "data"), folder / "out.txt")
    try:
        while not moment(run):
            assert run.process.poll() is None, run.text
        started = run.processes()
        assert run.interrupt() < 30
        assert run.process.returncode == 0
        assert "Traceback" not in run.text
        assert still_running(started) == []
    finally:
        run.end()
    _comes_up_again(run, folder)


def test_a_database_that_was_killed_while_it_was_made_is_made_anew(folder: Path) -> None:
    run = UserRun(environment(folder / "data"), folder / "out.txt")
    try:
        while not _makes_its_database(run):
            assert run.process.poll() is None, run.text
        run.kill_everything()
    finally:
        run.end()
    assert not (run.folder / "keys.json").exists()
    _comes_up_again(run, folder)
