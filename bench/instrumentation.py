"""What measuring costs: processor time of a recommendation with metrics and without.

    python -m bench.instrumentation [--rounds 6] [--requests 2000] [--write docs/performance.md]

Two gateways and two recommenders run as they do in production, on one database. In one pair nothing is
counted (`bench.uninstrumented`), the other is scraped every 15 seconds. Both are asked in turns of 20, so
that whatever else the machine does falls on both; the processor time of each worker process is read before
a round and after it. A round gives one ratio a service; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psutil
import urllib3

from bench.page import machine, put_section, say
from foreword_client import Client
from foreword_dev.embedded_postgres import EmbeddedPostgres
from foreword_dev.free_ports import free_ports

TARGET = 0.05
_ROOT = Path(__file__).resolve().parent.parent
_ASSETS, _BUYERS, _TURN, _SCRAPE_SECONDS = 200, 20, 20, 15.0
# What works beside the requests rests: it would count as theirs. So would threads that spin for one another.
_RESTING = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | {
    f"FOREWORD_{loop}_SECONDS": "3600"
    for loop in ("LEARN", "CENSUS", "STANDINGS", "RECONCILE", "FOLD", "FOLLOW")
}


@dataclass(frozen=True, slots=True)
class Running:
    """One service as a process."""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        (worker,) = psutil.Process(self.process.pid).children()
        times = worker.cpu_times()
        return times.user + times.system


@dataclass(frozen=True, slots=True)
class Pair:
    """A gateway and the recommender behind it."""

    gateway: Running
    recommender: Running

    def cpu_seconds(self) -> dict[str, float]:
        return {"gateway": self.gateway.cpu_seconds(), "recommender": self.recommender.cpu_seconds()}


@contextmanager
def service(name: str, environment: Mapping[str, str], *, counted: bool, log: Path) -> Iterator[Running]:
    port, metrics_port = free_ports(2)
    app = f"{name}.wsgi:app" if counted else f'bench.uninstrumented:make("{name}")'
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf", app],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
            env={
                **os.environ,
                **environment,
                "FOREWORD_BIND": "127.0.0.1",
                "FOREWORD_PORT": str(port),
                "FOREWORD_METRICS_PORT": str(metrics_port),
            },
        )
        made = Running(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics", process)
        try:
            _wait_ready(made, log)
            yield made
        finally:
            process.terminate()
            process.wait(60)


def _wait_ready(made: Running, log: Path) -> None:
    http = urllib3.PoolManager(retries=False, timeout=5.0)
    deadline = time.monotonic() + 90
    while made.process.poll() is None and time.monotonic() < deadline:
        try:
            if http.request("GET", f"{made.url}/readyz").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass  # not listening yet
        time.sleep(0.1)
    raise SystemExit(log.read_text(errors="replace")[-1500:])


def fill(url: str, key: str) -> None:
    client = Client(url, key)
    client.import_lines(
        [
            orjson.dumps(
                {
                    "id": f"a{n}",
                    "title": f"Cold rooms, part {n}",
                    "url": f"https://www.example.com/{n}",
                    "topics": [f"topic {n % 9}"],
                }
            )
            for n in range(_ASSETS)
        ]
    )
    events = [
        {
            "type": "track",
            "userId": f"buyer-{buyer}",
            "event": "Content Viewed",
            "messageId": f"{buyer}-{n}",
            "properties": {"asset_id": f"a{(7 * buyer + n) % _ASSETS}"},
        }
        for buyer in range(_BUYERS)
        for n in range(10)
    ]
    answer = urllib3.request(
        "POST", f"{url}/v1/batch", json={"batch": events}, headers={"Authorization": f"Bearer {key}"}
    )
    if answer.status != 200:
        raise SystemExit(f"signals were not taken: {answer.status} {answer.data[:200]!r}")


class Caller:
    """One client that keeps its connections."""

    def __init__(self, key: str) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._number = 0
        self._scraped = time.monotonic()

    def turn(self, pair: Pair) -> None:
        for _ in range(_TURN):
            self._number += 1
            body = {"user_id": f"buyer-{self._number % _BUYERS}", "count": 5, "placement": "blog"}
            answer = self._http.request(
                "POST",
                f"{pair.gateway.url}/v1/recommendations",
                body=orjson.dumps(body),
                headers=self._headers,
            )
            if answer.status != 200 or answer.json()["meta"]["degraded"]:
                raise SystemExit(f"not a full answer: {answer.status} {answer.data[:200]!r}")

    def scrape(self, pair: Pair) -> None:
        if time.monotonic() - self._scraped >= _SCRAPE_SECONDS:
            for one in (pair.gateway, pair.recommender):
                self._http.request("GET", one.metrics_url)
            self._scraped = time.monotonic()


def measure(caller: Caller, measured: Pair, bare: Pair, requests: int) -> dict[str, tuple[float, float]]:
    """One round. → service → processor seconds a request (with metrics, without)."""
    before = measured.cpu_seconds(), bare.cpu_seconds()
    for number in range(requests // _TURN):
        for pair in (measured, bare) if number % 2 else (bare, measured):
            caller.turn(pair)
        caller.scrape(measured)
    after = measured.cpu_seconds(), bare.cpu_seconds()
    return {
        name: ((after[0][name] - before[0][name]) / requests, (after[1][name] - before[1][name]) / requests)
        for name in before[0]
    }


def section(rounds: list[dict[str, tuple[float, float]]], requests: int) -> str:
    lines = [
        "## Cost of measuring",
        "",
        f"`make bench-metrics`, {datetime.now(UTC):%Y-%m-%d}, {machine()}: processor time of a worker",
        f"process for one recommendation, with metrics and without; {len(rounds)} rounds of {requests:,}",
        f"requests to each, in turns of {_TURN}; what is counted is scraped every {_SCRAPE_SECONDS:g} s. The",
        "share is the median of the rounds' own; in brackets the lowest and highest.",
        "",
        "| service | with metrics | without | share of metrics | target |",
        "|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        measured, bare = ([one[name][i] for one in rounds] for i in (0, 1))
        shares = sorted(1 - b / m for m, b in zip(measured, bare, strict=True))
        times = " | ".join(f"{statistics.median(values) * 1e3:.3f} ms" for values in (measured, bare))
        lines.append(
            f"| {name} | {times} | **{statistics.median(shares):.1%}** ({shares[0]:.1%} to {shares[-1]:.1%}) "
            f"| under {TARGET:.0%} |"
        )
    return "\n".join(lines)


def _foreword(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "servicekit.cli", *arguments], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=2_000, help="to each pair in a round")
    parser.add_argument("--write", type=Path, help="Markdown file whose section is written anew.")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="foreword-bench-", ignore_cleanup_errors=True)
            )
        )
        database = EmbeddedPostgres(folder / "data")
        stack.callback(database.stop)
        _foreword("migrate", "--database-url", database.url)
        keys = folder / "keys.json"
        _foreword("keys", "development", "--file", str(keys), "--database-url", database.url)
        key = orjson.loads(keys.read_bytes())["secret"]
        shared = {"DATABASE_URL": database.url, "FOREWORD_RATE_LIMIT": "off", **_RESTING}
        # A fallback would be no answer to measure.
        shared["FOREWORD_RECOMMENDATION_TIMEOUT_SECONDS"] = "10"

        def start(name: str, counted: bool, **more: str) -> Running:
            log = folder / f"{name}-{counted}.log"
            return stack.enter_context(service(name, {**shared, **more}, counted=counted, log=log))

        embedder = start("embedder", True, FOREWORD_EMBEDDER_MODEL="hashing-384")
        pairs = []
        for counted in (True, False):
            recommender = start("recommender", counted, FOREWORD_EMBEDDER_URL=embedder.url)
            gateway = start("gateway", counted, FOREWORD_RECOMMENDER_URL=recommender.url)
            pairs.append(Pair(gateway, recommender))
            if counted:  # the other reads the same database
                fill(gateway.url, key)
        caller = Caller(key)
        for _ in range(10):
            for pair in pairs:
                caller.turn(pair)
        rounds = []
        for number in range(given.rounds):
            rounds.append(measure(caller, pairs[0], pairs[1], given.requests))
            say(
                f"round {number + 1}: "
                + ", ".join(f"{n} {1 - b / m:.1%}" for n, (m, b) in rounds[-1].items())
            )
        text = section(rounds, given.requests)
    print(text)
    if given.write is not None:
        put_section(given.write, "instrumentation", text)


if __name__ == "__main__":
    main()
