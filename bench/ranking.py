"""Times the ranking: a block of 256 buyers with 200 candidates each, and single buyers, on one core.

Counts the time of the processor and not of the clock, so that other work on the machine matters little; set
OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ranking_firm import NOW, make_behaviour, make_firm, make_profile
from recommender.domain.ranking_config import load_ranking_config
from recommender.numeric.candidates import ExactSearch
from recommender.service.ranker import RankRequest, recommend_block
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import Pools, find_candidates, prepare_all, score


def median(run: object, times: int) -> float:
    took = []
    for _ in range(times):
        start = time.process_time()
        run()  # type: ignore[operator]
        took.append(time.process_time() - start)
    return float(np.median(took))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=2_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--buyers", type=int, default=256)
    options = parser.parse_args()
    catalogue = make_firm(options.assets, options.dimension, topics=20)
    behaviour = make_behaviour(catalogue, buyers=500, per_buyer=20)
    config, search = load_ranking_config(), ExactSearch(catalogue.vectors)
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
    scene = set_scene(catalogue, behaviour, config, NOW)
    pools = Pools(scene)
    width = config.candidates.width
    prepared = prepare_all(scene, requests)
    found = find_candidates(scene, search, pools, prepared)
    steps = {
        "prepare": lambda: prepare_all(scene, requests),
        "candidates (exact search)": lambda: find_candidates(scene, search, pools, prepared),
        f"score {options.buyers} × {width}": lambda: score(scene, pools, prepared, found, width=width),
        "all of recommend_block": lambda: recommend_block(
            catalogue, search, behaviour, config, requests, NOW
        ),
    }
    width_found = np.mean([len(f) for f in found])
    print(f"{options.assets} assets, {options.dimension} dimensions, {width_found:.0f} candidates")
    for name, run in steps.items():
        print(f"{name:32s} {median(run, 5) / options.buyers * 1e3:8.3f} ms a buyer")
    one = [requests[0]]
    alone = median(lambda: recommend_block(catalogue, search, behaviour, config, one, NOW), 50)
    print(f"{'one buyer alone':32s} {alone * 1e3:8.3f} ms")


if __name__ == "__main__":
    main()
