"""Times the ranking: a block of 256 buyers with 200 candidates each, and single buyers, on one core.

Each step is measured in turns with a yardstick, the bare arithmetic that no ranking by vectors can do
without: gather 200 vectors a buyer, multiply them with 14 directions (recent and long interest, twelve
engagements) and partition the sums. Other work on the machine slows both alike, so the ratios hold where the
milliseconds don't. Time of the processor, not of the clock; set OPENBLAS_NUM_THREADS=1 (`make bench-ranking`
does).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ranking_firm import NOW, make_behaviour, make_firm, make_profile
from recommender.domain.ranking_reader import load_ranking_config
from recommender.numeric.candidates import ExactSearch
from recommender.service.ranker import RankRequest, recommend_block
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import Pools, find_candidates, prepare_all, score

DIRECTIONS = 14


def seconds(run: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats


def yardstick(vectors: np.ndarray, rows: np.ndarray, directions: np.ndarray) -> Callable[[], object]:
    gathered = np.empty((rows.shape[1], vectors.shape[1]), dtype=np.float32)

    def run() -> None:
        for own, wanted in zip(rows, directions, strict=True):
            np.take(vectors, own, axis=0, out=gathered, mode="clip")
            np.argpartition(-(gathered @ wanted).sum(axis=1), 5)

    return run


def report(title: str, steps: dict[str, tuple[Callable[[], object], int]], buyers: int, rounds: int) -> None:
    """Each step is (what to run, how often a round); the first is the yardstick."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, (run, repeats) in steps.items():
            took[name].append(seconds(run, repeats) / buyers)
    base = np.array(next(iter(took.values())))
    print(title)
    for name, own in took.items():
        ratios = np.array(own) / base
        print(
            f"  {name:34s} {np.median(own) * 1e3:8.3f} ms a buyer (least {min(own) * 1e3:.3f})"
            f"   {np.median(ratios):6.2f} × the yardstick ({ratios.min():.2f} to {ratios.max():.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--buyers", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--config", type=Path, help="A ranking configuration, as `foreword learn` writes it.")
    options = parser.parse_args()
    catalogue = make_firm(options.assets, options.dimension, topics=20)
    behaviour = make_behaviour(catalogue, buyers=500, per_buyer=20)
    config = load_ranking_config(options.config.read_bytes() if options.config else None)
    search = ExactSearch(catalogue.vectors)
    rng = np.random.default_rng(1)
    requests = [
        RankRequest(
            profile=make_profile([f"a{r}" for r in rng.choice(options.assets, size=20, replace=False)]),
            stage=rng.dirichlet(np.ones(7)),
            persona="cio",
            count=5,
            seed=i,
        )
        for i in range(options.buyers)
    ]
    width = config.candidates.width
    scene = set_scene(catalogue, behaviour, config, NOW)
    pools = Pools(scene)
    prepared = prepare_all(scene, requests)
    found = find_candidates(scene, search, pools, prepared)
    rows = np.stack([np.resize(own, width) for own in found])
    directions = rng.normal(size=(options.buyers, options.dimension, DIRECTIONS)).astype(np.float32)
    print(
        f"{options.assets} assets, {options.dimension} dimensions, "
        f"{np.mean([len(f) for f in found]):.0f} candidates a buyer, configuration {config.name}"
    )
    recommend_block(catalogue, search, behaviour, config, requests, NOW)
    report(
        f"B = {options.buyers}",
        {
            "yardstick": (yardstick(catalogue.vectors, rows, directions), 1),
            f"score {options.buyers} × {width}": (
                lambda: score(scene, pools, prepared, found, width=width),
                1,
            ),
            "prepare": (lambda: prepare_all(scene, requests), 1),
            "candidates (exact search)": (lambda: find_candidates(scene, search, Pools(scene), prepared), 1),
            "all of recommend_block": (
                lambda: recommend_block(catalogue, search, behaviour, config, requests, NOW),
                1,
            ),
        },
        options.buyers,
        options.rounds,
    )
    one, one_prepared, one_found = requests[:1], prepared[:1], found[:1]
    report(
        "B = 1",
        {
            "yardstick": (yardstick(catalogue.vectors, rows[:1], directions[:1]), 50),
            f"score 1 × {width}": (lambda: score(scene, pools, one_prepared, one_found, width=width), 20),
            "prepare": (lambda: prepare_all(scene, one), 20),
            "candidates (exact search)": (
                lambda: find_candidates(scene, search, Pools(scene), one_prepared),
                20,
            ),
            "all of recommend_block": (
                lambda: recommend_block(catalogue, search, behaviour, config, one, NOW),
                20,
            ),
        },
        1,
        options.rounds,
    )


if __name__ == "__main__":
    main()
