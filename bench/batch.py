"""How fast 10,000 recipients of one batch are answered, against single requests for the same: within one run.

python -m bench.batch [--folder FOLDER] [--rounds 5] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import orjson
import urllib3

from bench.firm import buyer_ids, firm, resident, serving
from bench.load import peak, post
from bench.page import Surroundings, machine, put_section, say
from foreword_dev.stack import Stack

PATH = "/v1/recommendations"
CLIENTS = 8
TARGET = 8.0


class HighWater:
    """The most memory that processes held while this was entered, looked at ten times a second."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = {name: resident(pid) for name, pid in pids.items()}
        self.most = dict(self.before)

    def __enter__(self) -> HighWater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for name, pid in self._pids.items():
                self.most[name] = max(self.most[name], resident(pid))

    def growth(self) -> dict[str, int]:
        return {name: self.most[name] - self.before[name] for name in self._pids}


def batch_seconds(stack: Stack, body: bytes, lines: int) -> float:
    """From sending the batch to the last byte of its answers."""
    started = time.perf_counter()
    answer = urllib3.PoolManager().request(
        "POST",
        f"{stack.url}{PATH}:batch",
        body=body,
        headers={"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {stack.keys['secret']}"},
        timeout=600.0,
        retries=False,
        preload_content=False,
    )
    found = sum(chunk.count(b"\n") for chunk in answer.stream(65_536))
    seconds = time.perf_counter() - started
    if answer.status != 200 or found != lines:
        raise SystemExit(f"the batch was answered {answer.status} with {found:,} lines")
    return seconds


def measure(folder: Path, assets: int, buyers: int, recipients: int, rounds: int, seconds: float) -> str:
    rng = random.Random(9)
    batches: list[float] = []
    singles: list[float] = []
    one_by_one: list[float] = []
    growth: dict[str, int] = {}
    with firm(folder, assets, buyers) as stack:
        port, key = stack.settings.gateway.service, stack.keys["secret"]
        pids = {name: pid for name, pid in serving(stack).items() if name != "embedder"}
        documents = [orjson.dumps({"user_id": one, "count": 5}) for one in buyer_ids(buyers)]
        peak(port, [post(port, PATH, one, key) for one in documents[:500]], CLIENTS, 3)
        batch_seconds(stack, b"\n".join(rng.sample(documents, 200)) + b"\n", 200)
        around = Surroundings()
        for turn in range(rounds):
            chosen = rng.sample(documents, min(recipients, len(documents)))
            with HighWater(pids) as water:
                batches.append(len(chosen) / batch_seconds(stack, b"\n".join(chosen) + b"\n", len(chosen)))
            if turn:  # the first fills caches that stay
                growth = {name: max(growth.get(name, 0), more) for name, more in water.growth().items()}
            requests = [post(port, PATH, one, key) for one in chosen]
            singles.append(peak(port, requests, CLIENTS, seconds).rate)
            one_by_one.append(peak(port, requests, 1, seconds).rate)
            say(
                f"round {turn + 1}: {batches[-1]:.0f}/s against {singles[-1]:.0f}/s by {CLIENTS} connections "
                f"and {one_by_one[-1]:.0f}/s one by one; memory "
                + ", ".join(f"{name} +{more / 2**20:.0f} MiB" for name, more in water.growth().items())
            )
    rows = []
    for name, theirs in ((f"by {CLIENTS} connections", singles), ("one after the other", one_by_one)):
        ratios = [a / b for a, b in zip(batches, theirs, strict=True)]
        rows.append(
            f"| {name} | {statistics.median(batches):,.0f}/s | {statistics.median(theirs):,.0f}/s | "
            f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) | {TARGET:g} |"
        )
    grown = ", ".join(f"{name} {more / 2**20:.0f} MiB" for name, more in growth.items())
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""## Batch

`make bench-batch`, {today}, {machine()}; {around.told()}.
{recipients:,} recipients in one request against the same as single requests, {assets:,} assets and
{buyers:,} profiles. Medians of {rounds} rounds in turns; in brackets the lowest and highest ratio.

| single requests | batch | single | ratio | target |
|---|---|---|---|---|
{chr(10).join(rows)}

While a batch is answered memory grew by at most (after the first one): {grown}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one batch against single requests.")
    parser.add_argument("--folder", type=Path, help="Where the firm is kept; made there if it is not.")
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--buyers", type=int, default=100_000)
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--write", type=Path, help="Markdown file whose section Batch is written anew.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreword-bench-") as made:
        folder = given.folder or Path(made) / "data"
        text = measure(folder, given.assets, given.buyers, given.recipients, given.rounds, given.seconds)
    print(text)
    if given.write is not None:
        put_section(given.write, "batch", text)


if __name__ == "__main__":
    main()
