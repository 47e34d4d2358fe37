"""What measuring costs: processor time of a recommendation with metrics and without.

    python bench/instrumentation.py [--rounds 30] [--write docs/performance.md]

One gateway and one recommender in this process, on an embedded PostgreSQL and the sample's size of catalogue.
Blocks of requests with metrics and without take turns; processor time of the serving thread is read, not the
wall clock, and of each kind the least disturbed block counts. "Without" no counter, gauge or histogram does
anything.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from flask import Flask
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from werkzeug.serving import make_server

from embedder.app import create_app as create_embedder
from embedder.settings import EmbedderSettings
from foreword_dev.embedded_postgres import EmbeddedPostgres
from gateway.app import create_app as create_gateway
from gateway.keys import KeyKind, MemoryKeySource, make_key
from gateway.settings import GatewaySettings
from recommender.app import create_app as create_recommender
from recommender.settings import RecommenderSettings
from recommender.store.migrate import migrate

BEGIN, END = "<!-- instrumentation:begin -->", "<!-- instrumentation:end -->"
TARGET = 0.05
_ASSETS, _BUYERS, _BLOCK = 200, 20, 20
_COUNTING: tuple[tuple[type, str], ...] = (
    (Counter, "inc"),
    (Gauge, "inc"),
    (Gauge, "dec"),
    (Gauge, "set"),
    (Histogram, "observe"),
)


@contextmanager
def without_metrics() -> Iterator[None]:
    """Counting and finding a child by its labels do nothing."""
    kept = [(owner, name, getattr(owner, name)) for owner, name in _COUNTING]
    labels = MetricWrapperBase.labels
    for owner, name in _COUNTING:
        setattr(owner, name, lambda *_, **__: None)
    MetricWrapperBase.labels = lambda self, *_, **__: self  # type: ignore[method-assign]
    try:
        yield
    finally:
        for owner, name, method in kept:
            setattr(owner, name, method)
        MetricWrapperBase.labels = labels  # type: ignore[method-assign]


@contextmanager
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)


def block(client: Any, headers: dict[str, str], first: int) -> float:
    """Processor seconds of this thread for one block of recommendations."""
    bodies = [
        orjson.dumps({"user_id": f"buyer-{(first + n) % _BUYERS}", "count": 5, "placement": "blog"})
        for n in range(_BLOCK)
    ]
    began = time.thread_time()
    for body in bodies:
        answer = client.post("/v1/recommendations", data=body, headers=headers)
        if answer.status_code != 200 or answer.get_json()["meta"]["degraded"]:
            raise SystemExit(f"not a full answer: {answer.status_code} {answer.text[:200]}")
    return time.thread_time() - began


def compare(client: Any, headers: dict[str, str], rounds: int) -> tuple[list[float], list[float]]:
    """→ (seconds a request with metrics, without), one pair a round; they take turns in going first."""
    block(client, headers, 0)
    found: tuple[list[float], list[float]] = ([], [])

    def one(into: list[float]) -> Callable[[], None]:
        return lambda: into.append(block(client, headers, len(into)) / _BLOCK)

    def bare() -> None:
        with without_metrics():
            one(found[1])()

    for number in range(rounds):
        turns = [one(found[0]), bare]
        for turn in turns if number % 2 == 0 else reversed(turns):
            turn()
    return found


def fill(app: Flask) -> None:
    client = app.test_client()
    for n in range(_ASSETS):
        asset = {
            "title": f"Cold rooms, part {n}",
            "url": f"https://www.example.com/{n}",
            "status": "approved",
        }
        client.put(f"/v1/assets/a{n}", json=asset | {"topics": [f"topic {n % 9}"]})
    events = [
        {
            "type": "track",
            "userId": f"buyer-{b}",
            "event": "Content Viewed",
            "messageId": f"{b}-{n}",
            "properties": {"asset_id": f"a{(7 * b + n) % _ASSETS}"},
        }
        for b in range(_BUYERS)
        for n in range(10)
    ]
    client.post("/v1/signals?kind=batch", json={"batch": events})


def section(rows: list[tuple[str, list[float], list[float]]], rounds: int) -> str:
    lines = [
        BEGIN,
        "## Cost of measuring",
        "",
        f"`make bench-metrics`, {datetime.now(UTC):%Y-%m-%d}: processor time of the serving thread for one",
        f"recommendation, with metrics and without, {rounds} blocks of {_BLOCK} requests each, in turns; the",
        "least disturbed block of each counts. In brackets the medians, as other work ran on the machine.",
        "",
        "| service | with metrics | without | share of metrics | target |",
        "|---|---|---|---|---|",
    ]
    for name, measured, bare in rows:
        best = min(measured), min(bare)
        middle = statistics.median(measured), statistics.median(bare)
        times = " | ".join(f"{one * 1e3:.2f} ms ({m * 1e3:.2f})" for one, m in zip(best, middle, strict=True))
        lines.append(f"| {name} | {times} | **{1 - best[1] / best[0]:.1%}** | under {TARGET:.0%} |")
    return "\n".join([*lines, END]) + "\n"


def put_section(path: Path, text: str) -> None:
    page = path.read_text(encoding="utf-8")
    if BEGIN in page:
        head, _, rest = page.partition(BEGIN)
        page = head + text + rest.partition(END)[2].lstrip("\n")
    else:
        page = page.rstrip("\n") + "\n\n" + text
    path.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", type=Path, help="Markdown file whose section is written anew.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foreword-bench-", ignore_cleanup_errors=True) as folder:
        database = EmbeddedPostgres(Path(folder) / "data")
        migrate(database.url)
        with served(create_embedder(EmbedderSettings.load(embedder_model="hashing-384"))) as embedder:
            settings = RecommenderSettings.load(database_url=database.url, embedder_url=embedder)
            recommender = create_recommender(settings, background=False)
            logging.getLogger("werkzeug").setLevel(logging.WARNING)
            fill(recommender)
            with served(recommender) as upstream:
                text, key = make_key(
                    KeyKind.SECRET, name="bench", scopes=("admin",), origins=(), now=datetime.now(UTC)
                )
                gateway = create_gateway(
                    GatewaySettings.load(
                        database_url="postgresql://nowhere/none", recommender_url=upstream, rate_limit="off"
                    ),
                    key_source=MemoryKeySource([key]),
                    start=False,
                )
                gateway.extensions["parts"].keys.refresh()
                headers = {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}
                rows = [
                    (name, *compare(app.test_client(), headers, given.rounds))
                    for name, app in (("gateway", gateway), ("recommender", recommender))
                ]
            recommender.extensions["close"]()
        database.stop()
    page = section(rows, given.rounds)
    print(page)
    if given.write is not None:
        put_section(given.write, page)


if __name__ == "__main__":
    main()
