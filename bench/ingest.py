"""How fast signals come in by batches of 100, against COPY of the rows they became: ratios within one run.

Eight connections post batches to the gateway, as trackers of a busy site do; each answer means that its batch
is committed. Then the rows go by COPY into a table with the same columns and no index in the same PostgreSQL.

    python -m bench.ingest [--rounds 5] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from bench.firm import firm
from bench.import_log import copy_rows, settle
from bench.load import Latencies, once, post
from bench.page import Surroundings, machine, put_section, say

BATCH, CLIENTS = 100, 8
TARGET = 0.25


def batches(count: int, turn: int, rng: random.Random, now: datetime) -> list[bytes]:
    """Bodies of batches about the last days, from 20,000 buyers."""
    made = []
    for number in range(count):
        events = [
            {
                "type": "track",
                "messageId": f"ingest-{turn}-{number}-{place}",
                "userId": f"buyer-{rng.randrange(20_000)}",
                "event": "Content Viewed",
                "timestamp": (now - timedelta(seconds=rng.randrange(3 * 86_400))).isoformat(),
                "properties": {"asset_id": f"asset-{rng.randrange(1_000)}"},
            }
            for place in range(BATCH)
        ]
        made.append(orjson.dumps({"batch": events}))
    return made


def measure(folder: Path, rounds: int, count: int) -> str:
    rng = random.Random(3)
    ours: list[float] = []
    theirs: list[float] = []
    found: list[Latencies] = []
    with firm(folder, 1_000, 1_000) as stack:
        port, key = stack.settings.gateway.service, stack.keys["secret"]

        def send(turn: int, number: int) -> Latencies:
            bodies = batches(number, turn, rng, datetime.now(UTC))
            return once(port, [post(port, "/v1/batch", body, key) for body in bodies], CLIENTS)

        send(-1, 200)  # makes the buyers and the month's partition
        around = Surroundings()
        for turn in range(rounds):
            settle(stack)
            began = datetime.now(UTC)
            found.append(send(turn, count))
            settle(stack)
            copied, seconds = copy_rows(stack, began)
            if copied != count * BATCH:
                raise SystemExit(f"{count * BATCH:,} signals were sent and {copied:,} are in the log.")
            ours.append(count * BATCH / found[-1].lasted)
            theirs.append(copied / seconds)
            say(f"round {turn + 1}: {ours[-1]:,.0f}/s against {theirs[-1]:,.0f}/s")
    return section(ours, theirs, found, count, around.told())


def section(
    ours: Sequence[float], theirs: Sequence[float], found: Sequence[Latencies], count: int, around: str
) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median
    p50, p99 = (middle(one.at(share) for one in found) * 1000 for share in (0.5, 0.99))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""## Ingest

`make bench-ingest`, {today}, {machine()}; {around}.
{count:,} batches of {BATCH} signals over {CLIENTS} connections through the gateway, against COPY of the rows
they became into a table with the same columns and no index. Medians of {len(ours)} rounds in turns; in
brackets the lowest and highest ratio. A batch took {p50:.0f} ms at the median and {p99:.0f} ms at p99.

| what | Foreword | COPY | ratio | target |
|---|---|---|---|---|
| batches of {BATCH} | {middle(ours):,.0f}/s | {middle(theirs):,.0f}/s | **{middle(ratios):.2f}** \
({min(ratios):.2f} to {max(ratios):.2f}) | {TARGET} |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure batches of 100 signals against COPY.")
    parser.add_argument("--folder", type=Path, help="Where the firm is kept; made there if it is not.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--write", type=Path, help="Markdown file whose section Ingest is written anew.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreword-bench-") as made:
        text = measure(given.folder or Path(made) / "data", given.rounds, given.batches)
    print(text)
    if given.write is not None:
        put_section(given.write, "ingest", text)


if __name__ == "__main__":
    main()
