"""`make chaos`: one run from a seed to a report. `python -m foreword_dev.chaos.run --help`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from rich.console import Console

from foreword_dev.chaos.checker import Verdict, check
from foreword_dev.chaos.cluster import CLOCKED, Cluster, NotReady, cluster
from foreword_dev.chaos.faults import Faults, Planned, plan
from foreword_dev.chaos.ledger import Ledger
from foreword_dev.chaos.load import Load
from foreword_dev.chaos.page import report, write
from foreword_dev.chaos.report import Outcome

CALM_SECONDS = 200.0
PLANTED = "foreword_dev.chaos.planted:app"
_WAITING = """
SELECT (SELECT count(*) FROM recommender.buyers WHERE stale)
           + (SELECT count(*) FROM recommender.profiles WHERE due_at <= now()),
       (SELECT count(*) FROM recommender.assets a WHERE deleted_at IS NULL AND NOT EXISTS (
            SELECT FROM recommender.embeddings e WHERE e.asset_id = a.asset_id AND e.text_hash = a.text_hash
            AND split_part(e.model_id, '@', 1) = %s)),
       (SELECT split_part(live_model, '@', 1) FROM recommender.catalogue_head)
"""


def chaos(
    running: Cluster,
    *,
    seed: int,
    planned: list[Planned],
    seconds: float,
    told: Callable[[str], None],
) -> Outcome:
    """The plan under load, then calm, then the balance."""
    ledger = Ledger()
    faults = Faults(running, ledger, random.Random(seed))
    began = time.monotonic()
    with Load(running.gateways, running.key, ledger, seed):
        time.sleep(1.0)
        faults.run(planned, seconds, told)
        ended = time.monotonic()
        told("healing")
    for member in running.members.values():
        member.set_clock(0)
    running.wait_ready()
    told(f"ready again after {time.monotonic() - ended:.1f} s; waiting until all is folded and embedded")
    wait_calm(running)
    told(f"calm after {time.monotonic() - ended:.1f} s; checking")
    verdict = check(
        ledger,
        running.postgres.url,
        running.recommenders,
        running.members["embedder"].url,
        seed,
        clocks_were_wrong=faults.done["clock jumps"] > 0,
    )
    return Outcome(seed, began, ended, ledger, faults, verdict, running.restarts, running)


def wait_calm(running: Cluster, seconds: float = CALM_SECONDS) -> None:
    """Until no buyer waits to be folded, no asset for its vector, and the embedder's model is live."""
    deadline = time.monotonic() + seconds
    model = running.members["embedder"].environment["FOREWORD_EMBEDDER_MODEL"]
    with psycopg.connect(running.postgres.url, autocommit=True) as connection:
        while True:
            row = connection.execute(_WAITING, (model,)).fetchone()
            if row == (0, 0, model):
                return
            if time.monotonic() > deadline:
                raise NotReady(f"Not calm after {seconds:g} s: stale, pending, model = {row}.")
            time.sleep(0.3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--planted", action="store_true", help="with a bug that the checker must catch")
    parser.add_argument("--write", type=Path, help="the page that the report is written to")
    parser.add_argument("--keep", type=Path, help="an empty folder for logs, which is kept")
    given = parser.parse_args()
    console = Console(highlight=False)
    seconds = 60.0 * given.minutes
    planned = plan(given.seed, given.kills, seconds)
    console.print(f"{len(planned)} faults in {seconds:g} s, from seed {given.seed}")
    module = PLANTED if given.planted else CLOCKED.format("recommender")
    with tempfile.TemporaryDirectory(prefix="foreword-chaos-", ignore_cleanup_errors=True) as made:
        folder = given.keep or Path(made)
        Path(made).chmod(0o755)
        with cluster(folder, recommender_module=module) as running:
            outcome = chaos(
                running,
                seed=given.seed,
                planned=planned,
                seconds=seconds,
                told=lambda text: console.print(text, soft_wrap=True),
            )
            console.print(report(outcome), soft_wrap=True, markup=False)
            console.print(outcome.verdict.told(), soft_wrap=True, markup=False)
    if given.write is not None:
        write(given.write, outcome)
    return 0 if outcome.passed else 1


__all__ = ["Verdict", "chaos", "main"]

if __name__ == "__main__":
    sys.exit(main())
