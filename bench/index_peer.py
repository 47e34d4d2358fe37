"""A peer's vector library in an environment of its own: builds, chooses its breadth, answers when asked.

Reads one JSON object a line and answers one; needs NumPy and the library, and nothing of Foreword.
Run by `bench.index`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NEIGHBOURS = 10
BREADTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
LINKS, BUILT_WITH = 16, 128


def hnswlib_peer(
    vectors: Any, kept: Path, threads: int
) -> tuple[Callable[[Any], Any], Callable[[int], None]]:
    import hnswlib  # type: ignore[import-untyped]

    index = hnswlib.Index("ip", vectors.shape[1])
    if kept.exists():
        index.load_index(str(kept), max_elements=len(vectors))
    else:
        index.init_index(len(vectors), M=LINKS, ef_construction=BUILT_WITH)
        index.add_items(vectors, num_threads=threads)
        index.save_index(str(kept))
    index.set_num_threads(1)
    return lambda query: index.knn_query(query, NEIGHBOURS)[0][0], index.set_ef


def usearch_peer(
    vectors: Any, kept: Path, threads: int
) -> tuple[Callable[[Any], Any], Callable[[int], None]]:
    from usearch.index import Index  # type: ignore[import-not-found]

    index = Index(ndim=vectors.shape[1], metric="ip", connectivity=LINKS, expansion_add=BUILT_WITH)
    if kept.exists():
        index.load(str(kept))
    else:
        index.add(np.arange(len(vectors)), np.asarray(vectors), threads=threads)
        index.save(str(kept))

    def set_breadth(breadth: int) -> None:
        index.expansion_search = breadth

    return lambda query: index.search(query, NEIGHBOURS).keys, set_breadth


def recall(vectors: Any, queries: Any, tenth: Any, found: list[Any]) -> float:
    """The share of rows found that are as near as the exact 10th."""
    good = 0
    for query, bound, rows in zip(queries, tenth, found, strict=True):
        good += int((vectors[np.asarray(rows, dtype=np.int64)] @ query >= bound - 1e-6).sum())
    return good / (NEIGHBOURS * len(queries))


def main() -> None:
    library, data, kept, threads, floor = sys.argv[1:6]
    folder = Path(data)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    choosing, judging = np.load(folder / "choosing.npy"), np.load(folder / "judging.npy")
    bounds = np.load(folder / "choosing-tenth.npy"), np.load(folder / "judging-tenth.npy")
    make = {"hnswlib": hnswlib_peer, "usearch": usearch_peer}[library]
    was_kept = Path(kept).exists()
    started = time.perf_counter()
    search, set_breadth = make(np.asarray(vectors), Path(kept), int(threads))
    built = time.perf_counter() - started
    chosen = BREADTHS[-1]
    for breadth in BREADTHS:
        set_breadth(breadth)
        if recall(vectors, choosing, bounds[0], [search(q) for q in choosing]) >= float(floor):
            chosen = breadth
            break
    set_breadth(chosen)
    found = recall(vectors, judging, bounds[1], [search(q) for q in judging])
    say = {"seconds": None if was_kept else built, "breadth": chosen, "recall": found}
    print(json.dumps(say), flush=True)
    for _ in sys.stdin:  # each line asks for one round
        started = time.thread_time()
        for query in judging:
            search(query)
        print(json.dumps({"seconds": time.thread_time() - started}), flush=True)


if __name__ == "__main__":
    main()
