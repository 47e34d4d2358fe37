"""What a Foreword that nobody asks anything takes of the processor: empty, and with a firm in it.

Loops of every service look for work all the time. What they find nothing in must cost nothing, however much
there is; this is where one that reads everything again and again shows.

    python -m bench.rest [--assets 10000] [--seconds 60] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import sqlalchemy as sa

from bench.page import Surroundings, machine, put_section, say
from bench.studio import fill
from bench.studio_browser import own_stack
from foreword_dev.stack import Stack
from servicekit.database import create_engine

MOST_SHARE = 0.05
# Share of a core below which all together count as done with what was sent; seconds.
_SETTLED, _PATIENCE, _LOOK = 0.06, 300.0, 20.0


def families(stack: Stack) -> dict[str, psutil.Process]:
    """The first process of each service, and of PostgreSQL."""
    engine = create_engine(stack.database_url, pool_size=1, application_name="foreword-bench")
    with engine.connect() as connection:
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        postmaster = psutil.Process(backend).parent()
    engine.dispose()
    if postmaster is None:
        raise SystemExit("PostgreSQL's first process was not found.")
    found = {one.name: psutil.Process(one.process.pid) for one in stack.services.running}
    return {**found, "PostgreSQL": postmaster}


def spent(first: psutil.Process) -> float:
    """Processor seconds of a process and all that it started, those included that ended."""
    total = 0.0
    for one in (first, *first.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def shares(parts: dict[str, psutil.Process], seconds: float) -> dict[str, float]:
    """Share of one core, by part, over so many seconds from now on."""
    before, began = {name: spent(one) for name, one in parts.items()}, time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return {name: (spent(one) - before[name]) / passed for name, one in parts.items()}


def settle(parts: dict[str, psutil.Process]) -> float:
    """Wait until what was started or sent is worked on. → how long that took; gives up after five minutes."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE:
        if sum(shares(parts, _LOOK).values()) < _SETTLED:
            break
    return time.monotonic() - began


def report(
    empty: dict[str, float], full: dict[str, float], assets: int, seconds: float, settled: float, around: str
) -> str:
    rows = [f"| {name} | {empty[name]:.2%} | {full[name]:.2%} |" for name in full]
    return "\n".join(
        [
            "## At rest",
            "",
            f"`make bench-rest`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; {around}. Share of one core over "
            f"{seconds:.0f} s in which nobody asks anything: just started and empty, and with {assets:,} "
            f"assets, 2,000 accounts and 4,000 buyers, once what was sent is worked on ({settled:.0f} s). "
            f"Target: all together at most {MOST_SHARE:.0%} of a core.",
            "",
            "| part | empty | with a firm in it |",
            "|---|---|---|",
            *rows,
            f"| all together | {sum(empty.values()):.2%} | {sum(full.values()):.2%} |",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    around = Surroundings()
    with own_stack() as stack:
        parts = families(stack)
        settle(parts)
        say("Watching it empty")
        empty = shares(parts, asked.seconds)
        fill(stack, asked.assets)
        say("Waiting until what was sent is worked on")
        settled = settle(parts)
        say("Watching it with a firm in it")
        full = shares(parts, asked.seconds)
    text = report(empty, full, asked.assets, asked.seconds, settled, around.told())
    print(text)
    if asked.write:
        put_section(asked.write, "rest", text)
    return 0 if sum(full.values()) <= MOST_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
