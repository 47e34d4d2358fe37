"""schemathesis against the running gateway: every check, no failure, no 5xx, two thousand cases and more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.foreword_process import REPOSITORY
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

CONTRACT = REPOSITORY / "tests" / "contract"
SECONDS = 110
LEAST_CASES = 2_000


def command(url: str, key: str, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(CONTRACT / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
        # All checks are on unless the configuration says why not; `--checks all` would overrule it.
        *("--continue-on-failure", "--no-color", "--warnings", "off"),
        *more,
    ]


def test_generated_requests_are_answered_as_the_contract_says(stack: Stack, no_server_error: None) -> None:
    bounded = ("--phases", "coverage,fuzzing", "--max-time", str(SECONDS), "--generation-deterministic")
    done = subprocess.run(
        command(stack.url, stack.keys["secret"], *bounded),
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CONTRACT), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
    )
    said = done.stdout[-6000:] + done.stderr[-1000:]
    assert done.returncode == 0, said
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None, said
    assert int(generated[1]) >= LEAST_CASES, said
