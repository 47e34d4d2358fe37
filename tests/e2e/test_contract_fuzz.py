"""schemathesis against the running gateway: every check, no failure, no 5xx, two thousand cases and more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from e2e.foreword_process import environment, metric, own_folder
from e2e.fuzz_contract import cases_of, command, only_the_generators
from e2e.fuzz_contract import environment as environment_of_fuzz
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

SECONDS = 70  # `make fuzz` goes on for as long as one likes
LEAST_CASES = 1_000


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A Foreword of its own: where others left thousands of assets each list takes long to judge."""
    with own_folder() as folder:
        settings = RunSettings.from_environment({**os.environ, **environment(folder / "data")})
        with running(settings, lambda _: None) as started:
            yield started


def test_generated_requests_are_answered_as_the_contract_says(own_stack: Stack) -> None:
    bounded = ("--max-time", str(SECONDS), "--generation-deterministic")
    done = subprocess.run(
        command(own_stack.url, own_stack.keys["secret"], *bounded),
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        check=False,
        env=environment_of_fuzz(),
    )
    said = done.stdout[-6000:] + done.stderr[-1000:]
    assert done.returncode == 0, said
    assert cases_of(done.stdout) >= LEAST_CASES, said
    for ports in (own_stack.settings.gateway, own_stack.settings.recommender):
        service = "gateway" if ports is own_stack.settings.gateway else "recommender"
        assert metric(ports.metrics, f"foreword_{service}_http_requests_total", status="5xx") == 0, said


ENDLESS = "\nRuntime Error\n\nmaximum recursion depth exceeded\n"
NOTHING_WRONG = "\n- ST201 Schema-violating request accepted\n\n    Invalid component: positive test case\n"


@pytest.mark.parametrize("said", [ENDLESS, NOTHING_WRONG, 2 * ENDLESS + NOTHING_WRONG])
def test_what_the_generator_itself_gets_wrong_ends_no_run(said: str) -> None:
    assert only_the_generators(said)


@pytest.mark.parametrize(
    "said",
    [
        "",
        ENDLESS + "\nRuntime Error\n\nconnection refused\n",
        NOTHING_WRONG + "\n- ST101 Server error\n",
        "\n- ST201 Schema-violating request accepted\n\n    Invalid component: in body - count\n",
    ],
)
def test_everything_else_does(said: str) -> None:
    assert not only_the_generators(said)
