"""`make drill`: takes each part of Foreword away under load, and writes down what the callers saw."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console

from foreword_client import Client
from foreword_dev.drill_load import PLACEMENTS, Callers, Seen
from foreword_dev.drill_parts import Rehearsed, rehearsed
from foreword_dev.drill_redis import SharedCounts
from foreword_dev.free_ports import free_ports
from foreword_dev.settings import Ports, RunSettings
from foreword_dev.stopping import heed_stops
from recommender.domain.events import message_key

_CALM_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0
_SETTLE_SECONDS = 7.0
MOST_RECOVERY_SECONDS = 5.0
_BEGIN, _END = "<!-- the table: written by make drill -->", "<!-- end of the table -->"


@dataclass(frozen=True, slots=True)
class Drill:
    """`away` takes a part away; `back` brings it back and says since when it is there (monotonic)."""

    name: str
    title: str
    away: Callable[[Rehearsed], None]
    back: Callable[[Rehearsed], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What callers saw from the moment a part went until all was calm again."""

    drill: Drill
    seen: Sequence[Seen]
    recovery_seconds: float
    acknowledged: int
    lost: int

    def count(self, verdict: str, what: str | None = None) -> int:
        return sum(one.verdict == verdict and what in (None, one.what) for one in self.seen)

    @property
    def slowest_seconds(self) -> float:
        return max((one.seconds for one in self.seen if one.what == "recommendation"), default=0.0)

    @property
    def passed(self) -> bool:
        return (
            self.count("blank") == self.count("wrong") == self.lost == 0
            and self.recovery_seconds <= MOST_RECOVERY_SECONDS
        )


def _delete_and_kill(stack: Rehearsed) -> None:
    """The asset that all are shown most goes through one gateway; then the recommender goes at once."""
    Client(stack.urls[0], stack.keys["secret"]).delete_asset("drill-asset-0")
    stack.kill("recommender")


def _everything_away(stack: Rehearsed) -> None:
    stack.kill("embedder")
    stack.kill("recommender")
    stack.stop_database()


def _everything_back(stack: Rehearsed) -> float:
    stack.start_database()
    stack.start("embedder")
    return stack.start("recommender")


def _restart_gateway_without_recommender(stack: Rehearsed) -> None:
    stack.kill("recommender")
    stack.kill("gateway")
    stack.start("gateway")


DRILLS = (
    Drill("embedder", "Embedder killed", lambda s: s.kill("embedder"), lambda s: s.start("embedder")),
    Drill(
        "recommender", "Recommender killed", lambda s: s.kill("recommender"), lambda s: s.start("recommender")
    ),
    Drill(
        "recommender-frozen",
        "Recommender frozen: it takes calls and never answers",
        lambda s: s.freeze("recommender"),
        lambda s: s.thaw("recommender"),
    ),
    Drill("database", "Database stopped", lambda s: s.stop_database(), lambda s: s.start_database()),
    Drill(
        "database-frozen",
        "Database frozen: it takes calls and never answers",
        lambda s: s.freeze_database(),
        lambda s: s.thaw_database(),
    ),
    Drill("gateway", "One of two gateways killed", lambda s: s.kill("gateway"), lambda s: s.start("gateway")),
    Drill(
        "gateway-restarted",
        "A gateway started while the recommender is away",
        _restart_gateway_without_recommender,
        lambda s: s.start("recommender"),
    ),
    Drill(
        "deleted",
        "Asset deleted through one gateway, recommender killed at once",
        _delete_and_kill,
        lambda s: s.start("recommender"),
    ),
    Drill("everything", "All behind the gateways away", _everything_away, _everything_back),
)


def _redis(stack: Rehearsed) -> SharedCounts:
    if stack.redis is None:
        raise RuntimeError("This drill needs Redis or Valkey.")
    return stack.redis


# Apart from the others, since not every machine has one: limits are then counted by each gateway for itself.
REDIS = Drill(
    "redis",
    "Redis, in which requests are counted, killed",
    lambda s: _redis(s).stop(),
    lambda s: _redis(s).start(),
)


def fill(stack: Rehearsed) -> None:
    """A small catalogue, and one answer from every gateway in every placement, as any running firm has."""
    client = Client(stack.urls[0], stack.keys["secret"])
    client.import_lines(
        [
            orjson.dumps(
                {
                    "id": f"drill-asset-{number}",
                    "title": f"About {('doors', 'audits', 'energy', 'probes')[number % 4]}, part {number}",
                    "url": f"https://www.example.com/{number}",
                }
            )
            for number in range(30)
        ]
    )
    time.sleep(_SETTLE_SECONDS)  # what was just changed is not remembered at once
    for url in stack.urls:
        for placement in PLACEMENTS:
            Client(url, stack.keys["secret"]).recommend(placement=placement, count=20)
    time.sleep(_SETTLE_SECONDS)  # the gateways have written down what was good


def rehearse(stack: Rehearsed, drill: Drill, *, seconds: float) -> Outcome:
    """One drill: a moment of calm, the part away for `seconds`, back, and until all is calm again."""
    with Callers(stack.urls, stack.keys["secret"]) as callers:
        time.sleep(_CALM_SECONDS)
        began = time.monotonic()
        drill.away(stack)
        gone = time.monotonic()
        time.sleep(seconds)
        back = drill.back(stack)
        last_bad = _until_calm(callers, back)
    acknowledged = list(callers.acknowledged)
    stored = stack.stored([message_key(message_id) for message_id in acknowledged])
    seen = callers.since(began)
    if drill.name == "deleted":
        seen = [_wrong_if_shown(one, gone, "drill-asset-0") for one in seen]
    return Outcome(drill, seen, max(0.0, last_bad - back), len(acknowledged), len(acknowledged) - stored)


def _wrong_if_shown(one: Seen, since: float, asset_id: str) -> Seen:
    if one.at >= since and asset_id in one.items:
        return Seen(one.what, one.at, one.seconds, "wrong", "a deleted asset", one.items)
    return one


def _until_calm(callers: Callers, back: float) -> float:
    """→ when the last caller saw something that was not as it should be."""
    deadline = back + _PATIENCE_SECONDS
    while True:
        bad = [one.at + one.seconds for one in callers.since(back - 30.0) if one.verdict != "good"]
        last = max(bad, default=back)
        if time.monotonic() - max(last, back) > _CALM_SECONDS or time.monotonic() > deadline:
            return last
        time.sleep(0.1)


def table(outcomes: Sequence[Outcome]) -> str:
    lines = [
        "| what was taken away | answers | good | from memory | signals put off | blank | wrong | "
        "slowest recommendation | calm again after | signals acknowledged | lost |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {o.drill.title} | {len(o.seen):,} | {o.count('good'):,} | {o.count('degraded'):,} | "
        f"{o.count('refused'):,} | {o.count('blank')} | {o.count('wrong')} | {o.slowest_seconds:.2f} s | "
        f"{o.recovery_seconds:.1f} s | {o.acknowledged:,} | {o.lost} |"
        for o in outcomes
    ]
    return "\n".join(lines)


def settings_in(folder: Path) -> tuple[RunSettings, Ports]:
    """A Foreword of the drill's own, on free ports. → (settings, the second gateway's ports)"""
    ports = free_ports(8)
    names = ("GATEWAY", "RECOMMENDER", "EMBEDDER")
    environment = {"FOREWORD_DATA_DIR": str(folder), "FOREWORD_SAMPLE": "0"}
    for number, name in enumerate(names):
        environment[f"FOREWORD_{name}_PORT"] = str(ports[2 * number])
        environment[f"FOREWORD_{name}_METRICS_PORT"] = str(ports[2 * number + 1])
    return RunSettings.from_environment(environment), Ports(ports[6], ports[7])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drills", nargs="*", help="names of drills; all when none is given")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each part stays away")
    parser.add_argument("--write", type=Path, help="the page whose table is written anew")
    given = parser.parse_args()
    heed_stops()
    console = Console(highlight=False)
    known = (*DRILLS, REDIS) if SharedCounts.is_installed() else DRILLS
    chosen = [drill for drill in known if not given.drills or drill.name in given.drills]
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="foreword-drill-", ignore_cleanup_errors=True) as folder,
        ExitStack() as started,
    ):
        settings, second = settings_in(Path(folder) / "data")
        environment = {"FOREWORD_EMBEDDER_MODEL": "hashing-384"}
        redis = SharedCounts(free_ports(1)[0], Path(folder)) if REDIS in chosen else None
        if redis is not None:
            redis.start()
            started.callback(redis.stop)
            environment["FOREWORD_RATE_LIMIT_STORAGE_URL"] = redis.url
        console.print("Starting Foreword with two gateways …")
        with rehearsed(settings, second, environment) as stack:
            stack.redis = redis
            fill(stack)
            for drill in chosen:
                outcome = rehearse(stack, drill, seconds=given.seconds)
                outcomes.append(outcome)
                console.print(f"{'passed' if outcome.passed else 'FAILED'}  {drill.title}")
                for one in [s for s in outcome.seen if s.verdict in ("wrong", "blank")][:5]:
                    console.print(f"        {one.what}: {one.verdict}, {one.detail}")
    console.print(table(outcomes), soft_wrap=True)
    if given.write is not None:
        before, _, rest = given.write.read_text().partition(_BEGIN)
        given.write.write_text(f"{before}{_BEGIN}\n{table(outcomes)}\n{_END}{rest.partition(_END)[2]}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
