"""What memory each service holds after many requests, against after the first 10,000.

Recommendations through the gateway (which asks the recommender), a batch of signals for every twenty of them,
and single texts to the embedder, until the number of requests or the time is reached.

    python -m bench.memory [--requests 1000000] [--minutes 300] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

from bench.firm import buyer_ids, firm, resident, serving
from bench.ingest import batches
from bench.load import once, post
from bench.page import machine, put_section, say
from foreword_dev.stack import Stack

FIRST = 10_000
BLOCK = 1_000
TARGET = 1.05


def send_block(stack: Stack, block: int, rng: random.Random, buyers: int) -> int:
    """→ requests answered."""
    gateway, embedder = stack.settings.gateway.service, stack.settings.embedder.service
    key = stack.keys["secret"]
    ids = buyer_ids(buyers)
    asked = [
        post(gateway, "/v1/recommendations", orjson.dumps({"user_id": rng.choice(ids), "count": 5}), key)
        for _ in range(BLOCK)
    ]
    asked += [
        post(gateway, "/v1/batch", body, key)
        for body in batches(BLOCK // 20, 1_000 + block, rng, datetime.now(UTC))
    ]
    texts = [
        post(
            embedder,
            "/v1/embeddings",
            orjson.dumps({"input": f"A text {rng.random()} of topic {number}", "encoding_format": "base64"}),
        )
        for number in range(BLOCK)
    ]
    return len(once(gateway, asked, 8).seconds) + len(once(embedder, texts, 8).seconds)


def measure(folder: Path, requests: int, minutes: float, buyers: int) -> str:
    rng = random.Random(2)
    answered = block = 0
    began = time.monotonic()
    first: dict[str, int] = {}
    now: dict[str, int] = {}
    first_at = 0
    lines: list[str] = []
    with firm(folder, 1_000, buyers) as stack:
        pids = serving(stack)
        while answered < requests and time.monotonic() - began < minutes * 60:
            answered += send_block(stack, block, rng, buyers)
            block += 1
            now = {name: resident(pid) for name, pid in pids.items()}
            if not first and answered >= FIRST:
                first = now
                first_at = answered
            if block % 10 == 0:
                say(f"{answered:,}: " + ", ".join(f"{n} {held / 2**20:.0f} MiB" for n, held in now.items()))
        if not first:
            raise SystemExit(f"fewer than {FIRST:,} requests were answered in the time")
        lines = [
            f"| {name} | {first[name] / 2**20:.0f} MiB | {held / 2**20:.0f} MiB "
            f"| **{held / first[name]:.3f}** | {TARGET} |"
            for name, held in now.items()
        ]
    lasted = (time.monotonic() - began) / 60
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""## Memory over requests

`make bench-memory`, {today}, {machine()}. {answered:,} requests in {lasted:.0f} minutes: recommendations,
batches of 100 signals (kept in the database), single texts to the embedder (the hashing one).
Resident memory after {first_at:,} of them and at the end.

| service | early | at the end | ratio | at most |
|---|---|---|---|---|
{chr(10).join(lines)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch the services' memory over many requests.")
    parser.add_argument("--folder", type=Path, help="Where the firm is kept; made there if it is not.")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=300.0)
    parser.add_argument("--buyers", type=int, default=2_000)
    parser.add_argument("--write", type=Path, help="Markdown file whose section is written anew.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreword-bench-") as made:
        folder = given.folder or Path(made) / "data"
        text = measure(folder, given.requests, given.minutes, given.buyers)
    print(text)
    if given.write is not None:
        put_section(given.write, "memory", text)


if __name__ == "__main__":
    main()
