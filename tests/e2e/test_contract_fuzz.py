"""schemathesis against the running gateway: every check, no failure, no 5xx, two thousand cases and more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.foreword_process import REPOSITORY, environment, metric, own_folder
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

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


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A Foreword of its own: where others left thousands of assets each list takes long to judge."""
    with own_folder() as folder:
        settings = RunSettings.from_environment({**os.environ, **environment(folder / "data")})
        with running(settings, lambda _: None) as started:
            yield started


def test_generated_requests_are_answered_as_the_contract_says(own_stack: Stack) -> None:
    bounded = ("--phases", "coverage,fuzzing", "--max-time", str(SECONDS), "--generation-deterministic")
    done = subprocess.run(
        command(own_stack.url, own_stack.keys["secret"], *bounded),
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
    for ports in (own_stack.settings.gateway, own_stack.settings.recommender):
        service = "gateway" if ports is own_stack.settings.gateway else "recommender"
        assert metric(ports.metrics, f"foreword_{service}_http_requests_total", status="5xx") == 0, said
