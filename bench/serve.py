"""How fast one recommendation is served, against two services that do nothing: ratios within one run.

The gateway is asked for one buyer at a time, in turns with a bare two-hop Flask service that returns a
constant answer of the same size under the same gunicorn settings. Then latency at half of the peak: requests
come at their own rate, whether or not the last was answered. The load generator shares the cores.

    python -m bench.serve [--folder FOLDER] [--rounds 5] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from bench.firm import buyer_ids, firm, serving
from bench.load import Broken, Connection, Latencies, paced, peak, post
from bench.page import Surroundings, machine, put_section, say
from foreword_dev.free_ports import free_ports

CLIENTS = 8
PATH = "/v1/recommendations"


@contextmanager
def two_hops(size: int) -> Iterator[int]:
    """The bare services, ready. → the front's port."""
    back, front = free_ports(2)
    with ExitStack() as stack:
        for name, port in (("back", back), ("front", front)):
            command = [
                *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "16"),
                *("--workers", "1", "--keep-alive", "75", "--no-control-socket"),
                *("--bind", f"127.0.0.1:{port}", "--log-level", "warning", f"bench.two_hops:{name}()"),
            ]
            environment = {
                **os.environ,
                "TWO_HOPS_BYTES": str(size),
                "TWO_HOPS_BACK": f"http://127.0.0.1:{back}",
            }
            process = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(process.terminate)
        _wait_for(front)
        yield front


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            connection = Connection(port)
            connection.ask(post(port, PATH, b"{}"))
            connection.close()
            return
        except (OSError, Broken):
            time.sleep(0.1)
    raise SystemExit("the bare services are not ready")


def cpu_seconds(pids: Sequence[int]) -> float:
    return sum(float(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in _threads(pids))


def _threads(pids: Sequence[int]) -> list[str]:
    return [f"{pid}/task/{thread}" for pid in pids for thread in os.listdir(f"/proc/{pid}/task")]


def row(name: str, ours: Sequence[float], theirs: Sequence[float], target: float) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return (
        f"| {name} | {middle(ours):,.0f}/s | {middle(theirs):,.0f}/s "
        f"| **{middle(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {target:.2f} |"
    )


def measure(folder: Path, assets: int, buyers: int, rounds: int, seconds: float) -> str:
    rng = random.Random(5)
    with firm(folder, assets, buyers) as stack:
        port = stack.settings.gateway.service
        ids = rng.sample(buyer_ids(buyers), min(buyers, 20_000))
        requests = [
            post(port, PATH, orjson.dumps({"user_id": one, "count": 5}), stack.keys["secret"]) for one in ids
        ]
        probe = Connection(port)
        size = int(statistics.median(len(probe.ask(request)) for request in requests[:50]))
        probe.close()
        rng.shuffle(requests)
        ours: list[float] = []
        bare: list[float] = []
        slow: list[Latencies] = []
        pids = serving(stack)
        spent = dict.fromkeys(pids, 0.0)
        answered = 0
        with two_hops(size) as front:
            constant = [post(front, PATH, orjson.dumps({"user_id": "buyer-1", "count": 5}))]
            peak(port, requests, CLIENTS, 3)
            peak(front, constant, CLIENTS, 2)
            around = Surroundings()
            for turn in range(rounds):
                before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
                found = peak(port, requests, CLIENTS, seconds)
                for name, pid in pids.items():
                    spent[name] += cpu_seconds([pid]) - before[name]
                answered += len(found.seconds)
                ours.append(found.rate)
                bare.append(peak(front, constant, CLIENTS, seconds).rate)
                half = statistics.median(ours) / 2
                slow.append(paced(port, requests, half, seconds, 4 * CLIENTS, turn))
                say(
                    f"round {turn + 1}: {ours[-1]:.0f}/s against {bare[-1]:.0f}/s; at {half:.0f}/s "
                    f"p50 {slow[-1].at(0.5) * 1000:.1f} ms, p99 {slow[-1].at(0.99) * 1000:.1f} ms"
                )
    p50 = statistics.median(one.at(0.5) for one in slow) * 1000
    p99 = statistics.median(one.at(0.99) for one in slow) * 1000
    costs = ", ".join(f"{name} {used / answered * 1000:.2f} ms" for name, used in spent.items())
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""## Serving

`make bench-serve`, {today}, {machine()}; {around.told()}.
One recommendation of five assets for one buyer through the gateway, {assets:,} assets and {buyers:,}
profiles, answers of {size:,} bytes, {CLIENTS} connections. Medians of {rounds} rounds in turns; in brackets
the lowest and highest ratio. The load generator shares the cores.

| what | Foreword | two bare Flask services | ratio | target |
|---|---|---|---|---|
{row("requests a second, at the peak", ours, bare, 0.5)}

At half of the peak, at moments of chance and timed from the moment that was meant: p50 {p50:.1f} ms,
p99 {p99:.1f} ms ({p99 / p50:.1f} times p50; the targets are 5 times and 50 ms). Processor time of a request
at the peak: {costs}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one recommendation against two bare services.")
    parser.add_argument("--folder", type=Path, help="Where the firm is kept; made there if it is not.")
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--buyers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--write", type=Path, help="Markdown file whose section Serving is written anew.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreword-bench-") as made:
        folder = given.folder or Path(made) / "data"
        text = measure(folder, given.assets, given.buyers, given.rounds, given.seconds)
    print(text)
    if given.write is not None:
        put_section(given.write, "serve", text)


if __name__ == "__main__":
    main()
