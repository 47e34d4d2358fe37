"""A mailing as an Indexed Job: shares worked on side by side give exactly what one process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from foreword_client.email_batch import share_of
from foreword_dev import sample_firm
from foreword_dev.stack import Stack

pytestmark = pytest.mark.slow
SHARES = 3


def _start(stack: Stack, mailing: Path, out: Path, **job: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "servicekit.cli", "email-batch", str(mailing), "--out", str(out)],
        env={**os.environ, "FOREWORD_URL": stack.url, "FOREWORD_KEY": stack.keys["secret"], **job},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(process: subprocess.Popen[str]) -> str:
    out, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    return out


def _answers(files: Iterable[Path]) -> dict[str, Any]:
    """By recipient, without what is each answer's own: its ids and times, and the links that carry them."""
    found: dict[str, Any] = {}
    for path in files:
        for line in path.read_bytes().splitlines():
            one = orjson.loads(line)
            recipient = one.get("user_id") or one["anonymous_id"]
            assert recipient not in found, "each recipient is answered once"
            answer = one["answer"]
            assert answer.pop("recommendation_id")
            assert answer["meta"].pop("request_id")
            answer["meta"].pop("timings_ms")
            for item in answer["items"]:
                assert item.pop("click_url")
            found[recipient] = answer
    return found


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Buyers of the sample firm and strangers, all asked for as of one moment."""
    now = datetime.now(UTC).isoformat()
    people = [{"user_id": buyer["user_id"]} for buyer in sample_firm.sample_buyers()]
    people += [{"anonymous_id": f"stranger-{number}"} for number in range(87)]
    path = tmp_path_factory.mktemp("mailing") / "recipients.ndjson"
    asked = {"channel": "email", "placement": "newsletter", "count": 3, "as_of": now}
    path.write_bytes(b"".join(orjson.dumps(person | asked) + b"\n" for person in people))
    return path


def _both_ways(stack: Stack, mailing: Path, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """→ (what one process answered, the files of the shares)."""
    alone, shared = folder / "alone", folder / "shared"
    assert "0 refused" in _ended(_start(stack, mailing, alone))
    # As the Indexed Job starts them: the index comes from the environment.
    jobs = [
        _start(stack, mailing, shared, JOB_COMPLETION_INDEX=str(index), FOREWORD_SHARES=str(SHARES))
        for index in range(SHARES)
    ]
    for job in jobs:
        _ended(job)
    return _answers(alone.iterdir()), sorted(shared.iterdir())


def test_shares_side_by_side_give_what_one_process_gives(stack: Stack, mailing: Path, tmp_path: Path) -> None:
    expected, files = _both_ways(stack, mailing, tmp_path / "first")
    if _answers(files) != expected:
        # Between the two the services may have learnt from what other tests did; twice they do not.
        expected, files = _both_ways(stack, mailing, tmp_path / "second")
    assert _answers(files) == expected
    assert len(expected) == 90
    assert len(files) == SHARES
    assert all(file.suffix == ".ndjson" for file in files)
    for index, file in enumerate(files):
        recipients = list(_answers([file]))
        assert len(recipients) > len(expected) / SHARES / 2, "each takes a fair share"
        assert {share_of(recipient, SHARES) for recipient in recipients} == {index}


def test_a_share_that_was_stopped_goes_on_and_doubles_nothing(
    stack: Stack, mailing: Path, tmp_path: Path
) -> None:
    job = {"JOB_COMPLETION_INDEX": "1", "FOREWORD_SHARES": str(SHARES)}
    _ended(_start(stack, mailing, tmp_path, **job))
    (done,) = tmp_path.iterdir()
    whole = done.read_bytes()
    lines = whole.splitlines(keepends=True)
    # Killed in the middle of its tenth line.
    done.rename(done.with_suffix(".ndjson.part"))
    done.with_suffix(".ndjson.part").write_bytes(b"".join(lines[:9]) + lines[9][:20])
    assert f"{len(lines)} answered, 9 of them before" in _ended(_start(stack, mailing, tmp_path, **job))
    assert done.read_bytes().splitlines(keepends=True)[:9] == lines[:9], "what was there is left alone"
    recipients = [orjson.loads(line).get("user_id") or orjson.loads(line)["anonymous_id"] for line in lines]
    assert list(_answers([done])) == recipients, "the rest follows, each once and in the same order"
    assert "0 refused" in _ended(_start(stack, mailing, tmp_path, **job))
