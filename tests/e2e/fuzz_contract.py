"""`make fuzz`: generated requests in rounds, by several processes, until there were as many as asked for.

    python tests/e2e/fuzz_contract.py [--cases 50000] [--workers 2] [--seconds 240] [--url URL --key KEY]

Without --url a Foreword of its own is started. A round has seeds of its own, which are told, so that one that
failed can be run again; it fails with the first failure, or with the first 5xx that the gateway counted.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from foreword_dev.free_ports import free_ports
from foreword_dev.settings import RunSettings
from foreword_dev.stack import running

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
_NAMES = ("GATEWAY", "RECOMMENDER", "EMBEDDER")


def command(url: str, key: str, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(CONTRACT / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
        # All checks are on unless the configuration says why not; `--checks all` would overrule it.
        *("--phases", "coverage,fuzzing", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *more,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CONTRACT), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"}


def cases_of(said: str) -> int:
    found = re.search(r"(\d+) generated", said)
    return int(found[1]) if found is not None else 0


def one_round(url: str, key: str, seeds: Sequence[int], seconds: int) -> tuple[int, list[str]]:
    """→ (cases, what each process that found something said)"""
    started = [
        subprocess.Popen(
            command(url, key, "--max-time", str(seconds), "--seed", str(seed)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        for seed in seeds
    ]
    said = [process.communicate()[0] for process in started]
    failed = [
        text
        for process, text in zip(started, said, strict=True)
        if process.returncode != 0 and not only_the_generators(text)
    ]
    return sum(map(cases_of, said)), failed


def only_the_generators(said: str) -> bool:
    """Whether all that went wrong is the generator's own doing, and every answer was as it should be.

    It runs out of stack where hypothesis asks the strategy of a nested filter, which holds itself, whether it
    is empty; no request was sent then, and the other operations were tried. And it asks that a request be
    refused of which it says in the same breath that nothing is wrong with it.
    """
    errors = said.count("\nRuntime Error\n")
    endless = said.count("\nRuntime Error\n\nmaximum recursion depth exceeded\n")
    failures = len(re.findall(r"^- ST\d+ ", said, re.MULTILINE))
    nothing_wrong = said.count("Invalid component: positive test case\n")
    return errors == endless and failures == nothing_wrong and errors + failures > 0


def own(stack: ExitStack) -> tuple[str, str]:
    """→ (address, key) of a Foreword that ends with `stack`."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="foreword-fuzz-"))
    ports = iter(free_ports(6))
    given = {"FOREWORD_DATA_DIR": f"{folder}/data", "FOREWORD_SAMPLE": "0"}
    for name in _NAMES:
        given |= {
            f"FOREWORD_{name}_PORT": str(next(ports)),
            f"FOREWORD_{name}_METRICS_PORT": str(next(ports)),
        }
    settings = RunSettings.from_environment({**os.environ, **given})
    ready = stack.enter_context(running(settings, lambda _: None, {"FOREWORD_EMBEDDER_MODEL": "hashing-384"}))
    return ready.url, ready.keys["secret"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Send generated requests and judge the answers.")
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=240, help="How long a round lasts.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="Of the first process.")
    parser.add_argument("--url", help="A running Foreword; else one is started.")
    parser.add_argument("--key", help="Its secret key.")
    given = parser.parse_args()
    done, seed, began = 0, given.seed, time.monotonic()
    with ExitStack() as stack:
        url, key = (given.url, given.key) if given.url else own(stack)
        while done < given.cases:
            seeds = range(seed, seed + given.workers)
            seed += given.workers
            cases, failed = one_round(url, key, seeds, given.seconds)
            done += cases
            took = time.monotonic() - began
            print(f"seeds {seeds[0]} to {seeds[-1]}: {cases:,} cases; {done:,} in {took:,.0f} s", flush=True)
            for text in failed:
                print(text[-8000:])
            if failed or not cases:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
