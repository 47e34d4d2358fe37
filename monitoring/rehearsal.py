"""`make drill-alerts`: each drill of the never-blank ladder under a real Prometheus and Alertmanager.

Time runs twelve times as fast for the rules: every `for`, window and offset is a twelfth. Each drill has a
Prometheus of its own, so that what it sees is that drill's. What reaches somebody is asked of Alertmanager,
whose routes and inhibitions are those of `alertmanager.example.yml`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from foreword_dev.drill import DRILLS, Drill, fill, settings_in
from foreword_dev.drill_parts import Rehearsed, rehearsed
from foreword_dev.stopping import heed_stops
from monitoring.looking.load import Load
from monitoring.looking.prometheus import NotReady, ToolMissing, Watching, watching

TIMES = 12.0
# As often as usual in the rules' own time: scrapes, and the rules themselves.
EVERY_SECONDS = 2
# Each gateway is asked for some three recommendations a second: enough for every rule, and no load. What is
# rehearsed is the alerts; a machine at its limit would page for its slowness alone.
SLOWER = 10.0
WARM_SECONDS = 10.0
# All of it on one small machine: threads that spin for one another would take the processor from the others.
ENVIRONMENT = {"FOREWORD_EMBEDDER_MODEL": "hashing-384", "OMP_NUM_THREADS": "1"}
# Of the rules' own minutes: what is seen before, with the part away, and after it came back.
BEFORE, AWAY, AFTER = 6.0, 10.0, 8.0
BEGIN, END = "<!-- the alerts: written by make drill-alerts -->", "<!-- end of the alerts -->"
# Drill → the alert that its runbook is named for. One gateway of two takes nothing from anybody: no alert.
EXPECTED: dict[str, tuple[str, str] | None] = {
    "embedder": ("ForewordEmbedderAway", "ticket"),
    "recommender": ("ForewordRecommenderAway", "page"),
    "recommender-frozen": ("ForewordRecommenderAway", "page"),
    "database": ("ForewordDatabaseAway", "page"),
    "database-frozen": ("ForewordDatabaseAway", "page"),
    "gateway": None,
    "gateway-restarted": ("ForewordRecommenderAway", "page"),
    "deleted": ("ForewordRecommenderAway", "page"),
    "everything": ("ForewordRecommenderAway", "page"),
}


@dataclass(slots=True)
class Told:
    """What Alertmanager told somebody in one drill, and how many of the rules' minutes after it began."""

    drill: Drill
    at: dict[tuple[str, str], float] = field(default_factory=dict)
    # What fired while all was well: the machine was too busy for an objective, and no drill's doing.
    before: set[tuple[str, str]] = field(default_factory=set)

    @property
    def expected(self) -> tuple[str, str] | None:
        return EXPECTED[self.drill.name]

    def _others(self, severity: str) -> list[str]:
        ours = set(self.at) - self.before - {self.expected}
        return sorted(name for name, one in ours if one == severity)

    @property
    def other_pages(self) -> list[str]:
        return self._others("page")

    @property
    def tickets(self) -> list[str]:
        return self._others("ticket")

    @property
    def passed(self) -> bool:
        return not self.other_pages and (self.expected is None or self.expected in self.at)


def rehearse(stack: Rehearsed, drill: Drill, folder: Path) -> Told:
    targets = {
        "gateway": stack.settings.gateway.metrics,
        "gateway-second": stack.second.metrics,
        "recommender": stack.settings.recommender.metrics,
        "embedder": stack.settings.embedder.metrics,
    }
    users = [f"drill-{number}" for number in range(20)]
    key = stack.keys["secret"]
    loads = [Load(url, key, users, seed=seed, slower=SLOWER) for seed, url in enumerate(stack.urls)]
    told = Told(drill)
    with ExitStack() as stopping:
        for load in loads:
            load.start()
            stopping.callback(load.stop)
        time.sleep(WARM_SECONDS)
        seen = stopping.enter_context(
            watching(
                targets,
                folder,
                times=TIMES,
                scrape_seconds=EVERY_SECONDS,
                every_seconds=EVERY_SECONDS,
                windows=True,
            )
        )
        began = time.monotonic()
        _listen(seen, told, began, BEFORE)
        told.before, told.at = set(told.at), {}
        began = time.monotonic()
        drill.away(stack)
        _listen(seen, told, began, AWAY)
        drill.back(stack)
        _listen(seen, told, began, AWAY + AFTER)
    return told


def _listen(seen: Watching, told: Told, began: float, minutes: float) -> None:
    """Ask once a second until so many of the rules' minutes after `began`."""
    while (passed := (time.monotonic() - began) * TIMES / 60) < minutes:
        for one in seen.firing():
            told.at.setdefault(one, round(passed, 1))
        time.sleep(1)


_HEAD = (
    "| what was taken away | alert, after the rules' minutes | other pages | tickets | there before |",
    "|---|---|---|---|---|",
)


def table(all_told: Sequence[Told], before: str = "") -> str:
    """A row a drill, in the order of `DRILLS`; one that was not run now keeps its row of `before`."""
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    rows |= {one.drill.title: _row(one) for one in all_told}
    return "\n".join([*_HEAD, *(rows[drill.title] for drill in DRILLS if drill.title in rows)])


def _row(one: Told) -> str:
    if one.expected is None:
        said = "none, and none is needed"
    else:
        name, severity = one.expected
        when = f"{one.at[one.expected]:g}" if one.expected in one.at else "**never**"
        said = f"[{name}](../runbooks/{name}.md) ({severity}), {when}"
    there = sorted(f"{name} ({severity})" for name, severity in one.before if severity != "none")
    return (
        f"| {one.drill.title} | {said} | {', '.join(one.other_pages) or '–'} "
        f"| {', '.join(one.tickets) or '–'} | {', '.join(there) or '–'} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drills", nargs="*", help="names of drills; all when none is given")
    parser.add_argument(
        "--write", type=Path, help="the page in whose table the drills' rows are written anew"
    )
    given = parser.parse_args()
    heed_stops()
    chosen = [drill for drill in DRILLS if not given.drills or drill.name in given.drills]
    all_told: list[Told] = []
    try:
        with tempfile.TemporaryDirectory(prefix="foreword-drill-", ignore_cleanup_errors=True) as folder:
            settings, second = settings_in(Path(folder) / "data")
            with rehearsed(settings, second, ENVIRONMENT) as stack:
                fill(stack)
                for drill in chosen:
                    own = Path(folder) / drill.name
                    own.mkdir()
                    told = rehearse(stack, drill, own)
                    all_told.append(told)
                    if given.write is not None:
                        _write(given.write, told)
                    _say(f"{'passed' if told.passed else 'FAILED'}  {drill.title}: {told.at}")
    except (ToolMissing, NotReady) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Stopped.")
        return 130
    _say(table(all_told))
    return 0 if all(told.passed for told in all_told) else 1


def _write(page: Path, told: Told) -> None:
    """At once: what breaks off later leaves what was seen."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    before, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{table([told], before)}\n{END}{tail}", encoding="utf-8")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
