"""How fast the approximate index answers: against hnswlib and usearch at equal recall, in turns in one run.

Each library builds over the same vectors and chooses the smallest breadth at which one half of the queries
finds 99% of its exact ten nearest; the other half judges and is timed, one query at a time on one thread.
Ours is asked as a request asks it, with a bitmap of what is eligible; the others without. Each peer lives in
an environment of its own under build/bench. A size is measured at a time (`--assets`), and what was measured
before is kept, so that a long run can be made of pieces.

    python -m bench.index [--assets 100000] [--rounds 5] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.page import machine, put_section, say
from bench.vectors import made_vectors, real_vectors
from recommender.index.approximate import ApproximateIndex, kept, learnt, restored
from recommender.index.tuning import (
    KnownNeighbours,
    known_neighbours,
    likely_queries,
    measured,
    tuned,
)

Matrix = NDArray[np.float32]
FOLDER = Path("build/bench")
PEERS = {"hnswlib": "hnswlib==0.8.0", "usearch": "usearch==2.26.6"}
FLOOR = 0.99
REAL, HELD = 12_000, 1_000
QUERIES = 512
SPEED_TARGET, MEMORY_TARGET = 1.0, 0.75


def prepared(assets: int) -> tuple[Path, Matrix, KnownNeighbours]:
    """Vectors, and queries to judge by with their neighbours; made once, in a folder that peers read."""
    folder = FOLDER / f"index-{assets}"
    names = ("choosing", "judging")
    if not (folder / "judging-tenth.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        real = real_vectors(REAL)
        vectors = made_vectors(real[HELD:], assets, np.random.default_rng(1))
        everything = np.ones(assets, dtype=np.bool_)
        rng = np.random.default_rng(2)
        likely = likely_queries(vectors, everything, rng, QUERIES // 2)
        queries = rng.permutation(np.concatenate([real[: QUERIES // 2], likely]))
        known = known_neighbours(queries, vectors, everything)
        np.save(folder / "vectors.npy", vectors)
        for name, part in zip(names, (slice(0, QUERIES // 2), slice(QUERIES // 2, None)), strict=True):
            np.save(folder / f"{name}.npy", known.queries[part])
            np.save(folder / f"{name}-tenth.npy", known.tenth[part])
    judging = KnownNeighbours(np.load(folder / "judging.npy"), np.load(folder / "judging-tenth.npy"))
    return folder, np.load(folder / "vectors.npy", mmap_mode="r"), judging


@contextmanager
def peer(library: str, folder: Path, floor: float) -> Iterator[subprocess.Popen[str]]:
    """The library in its own environment, made if it is not there."""
    environment = FOLDER / f"venv-{library}"
    python = environment / "bin" / "python"
    installed = environment / PEERS[library]
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEERS[library], "numpy"], check=True)
        installed.touch()
    threads = len(os.sched_getaffinity(0))
    command = [python, Path(__file__).with_name("index_peer.py"), library, folder, folder / f"{library}.bin"]
    with subprocess.Popen(
        [*map(str, command), str(threads), str(floor)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a peer ended early")
    found: dict[str, Any] = json.loads(line)
    return found


def asked(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    process.stdin.write("round\n")
    process.stdin.flush()
    return float(heard(process)["seconds"])


def ours(vectors: Matrix) -> tuple[ApproximateIndex, float, float]:
    """→ (index, seconds to learn and fill it, seconds to tune it)."""
    rng = np.random.default_rng(0)
    everything = np.ones(len(vectors), dtype=np.bool_)
    started = time.perf_counter()
    index = learnt(np.asarray(vectors), everything, rng)
    built = time.perf_counter() - started
    started = time.perf_counter()
    found = tuned(index, vectors, everything, rng, floor=FLOOR)
    if found is None:
        raise SystemExit("our index does not reach the floor on these vectors")
    return found, built, time.perf_counter() - started


def memory(index: ApproximateIndex, vectors: Matrix) -> int:
    """Bytes that this process holds more after it has restored the index from what a snapshot keeps."""
    everything = np.arange(len(vectors), dtype=np.int64)
    content = kept(index, everything)
    before = _resident()
    again = restored(content, vectors)
    grown = _resident() - before
    del again
    return grown


def _resident() -> int:
    """Memory of this process that no file backs, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def one_size(assets: int, rounds: int) -> dict[str, Any]:
    folder, vectors, judging = prepared(assets)
    say(f"{assets:,} assets: building ours")
    everything = np.ones(assets, dtype=np.bool_)
    index, built, tuning = ours(vectors)
    say(f"{index.cells} cells, {index.tuning}, built in {built:.0f} s, tuned in {tuning:.0f} s")
    recall, _ = measured(index, judging, vectors, everything)
    took: dict[str, list[float]] = {"foreword": [], **{name: [] for name in PEERS}}
    told: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        peers = {}
        for name in PEERS:
            peers[name] = stack.enter_context(peer(name, folder, FLOOR))
            told[name] = heard(peers[name])
            say(f"{name}: {told[name]}")
        for turn in range(rounds):
            started = time.thread_time()
            for query in judging.queries:
                index.search(query[None, :], 10, everything)
            took["foreword"].append((time.thread_time() - started) / len(judging.queries))
            for name, process in peers.items():
                took[name].append(asked(process) / len(judging.queries))
            say(f"round {turn + 1}: " + ", ".join(f"{n} {t[-1] * 1e6:.0f} µs" for n, t in took.items()))
    return {
        "assets": assets,
        "rounds": rounds,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load": os.getloadavg()[0],
        "took": took,
        "recall": {"foreword": recall, **{name: t["recall"] for name, t in told.items()}},
        "built": {"foreword": built, **{name: t["seconds"] for name, t in told.items()}},
        "tuned": tuning,
        "cells": index.cells,
        "probes": index.tuning.probes,
        "depth": index.tuning.depth,
        "breadth": {name: t["breadth"] for name, t in told.items()},
        "memory": memory(index, vectors),
        "raw": vectors.nbytes,
    }


def rows_of(found: dict[str, Any]) -> Iterator[str]:
    mine = found["took"]["foreword"]
    for name in PEERS:
        ratios = [theirs / own for own, theirs in zip(mine, found["took"][name], strict=True)]
        times = {n: statistics.median(found["took"][n]) * 1e6 for n in ("foreword", name)}
        yield (
            f"| {found['assets']:,} | {times['foreword']:.0f} µs, {found['recall']['foreword']:.3f} "
            f"| {name}: {times[name]:.0f} µs, {found['recall'][name]:.3f} "
            f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {SPEED_TARGET:g} |"
        )
    share = found["memory"] / found["raw"]
    yield (
        f"| {found['assets']:,} | memory {found['memory'] / 2**20:,.0f} MiB "
        f"| raw float32: {found['raw'] / 2**20:,.0f} MiB | **{share:.2f}** | at most {MEMORY_TARGET:g} |"
    )


def section(results: list[dict[str, Any]]) -> str:
    rows = "\n".join(row for found in results for row in rows_of(found))
    builds = "\n".join(_build(found) for found in results)
    dates = " and ".join(sorted({found["date"] for found in results}))
    loads = ", ".join(f"{found['load']:.1f}" for found in results)
    return f"""## Index

`make bench-index`, {dates}, {machine()}; load averages at the end {loads}.
Medians of {min(found["rounds"] for found in results)} rounds in turns (ours, hnswlib, usearch, and again),
one query at a time on one thread, in processor time of that thread, which other work changes least; in
brackets the lowest and highest ratio, the peer's time over ours. After the time stands the share of the
exact ten nearest that was found. Ours is asked with a bitmap of what is eligible, the peers without. Vectors:
{REAL - HELD:,} paragraphs of real documentation, embedded, and others between them, each a paragraph moved
along the difference of two neighbouring ones (`bench/vectors.py`). Queries: half are other paragraphs, half
what ranking asks for (assets, assets less the mean, sums of them).

| assets | ours | against | ratio | target |
|---|---|---|---|---|
{rows}

{builds}
"""


def _build(found: dict[str, Any]) -> str:
    others = ", ".join(
        f"{name} {seconds:.0f} s" if seconds else f"{name} kept from before"
        for name, seconds in found["built"].items()
        if name != "foreword"
    )
    breadths = ", ".join(f"{name} at breadth {b}" for name, b in found["breadth"].items())
    return (
        f"- {found['assets']:,} assets: {found['cells']:,} cells, {found['probes']} of them looked into, the "
        f"best {found['depth']} codes refined; learnt and filled in {found['built']['foreword']:.0f} s, "
        f"tuned in {found['tuned']:.0f} s on one thread. Peers: {breadths}; built on all cores: {others}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the approximate index against hnswlib and usearch.")
    parser.add_argument("--assets", type=int, action="append", help="100000 and 1000000 if none is given.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="Markdown file whose section Index is written anew.")
    given = parser.parse_args()
    for assets in given.assets or (100_000, 1_000_000):
        found = one_size(assets, given.rounds)
        (FOLDER / f"index-{assets}.json").write_text(json.dumps(found))
    kept_results = [json.loads(path.read_text()) for path in FOLDER.glob("index-*.json")]
    text = section(sorted(kept_results, key=lambda found: int(found["assets"])))
    print(text)
    if given.write is not None:
        put_section(given.write, "index", text)


if __name__ == "__main__":
    main()
