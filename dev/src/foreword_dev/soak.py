"""`make soak`: ten times the load that this machine can take, for as long as one likes, and what it does."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson
import psutil
import urllib3
from rich.console import Console

from foreword_client import Client
from foreword_dev.drill import settings_in
from foreword_dev.host_share import HostShare
from foreword_dev.soak_load import Sender, Tally, at_rate, closed, request_of
from foreword_dev.stack import Stack, running
from foreword_dev.stopping import heed_stops

_TIMES = 10
_PEAK_SECONDS = 20.0
_PEAK_CALLERS = 12
_SAMPLE_SECONDS = 5.0
_TOLD_SECONDS = 60.0
_QUIET_PER_SECOND = 5.0
_IMPORTERS = 6
_ASSETS, _BUYERS = 300, 200
# An answer for a known buyer costs half as much again as one for a stranger. All are known before the peak
# is looked for, or the work itself would change from minute to minute.
_HISTORY = 20
_SENT_AT_ONCE = 200
_BEGIN, _END = "<!-- soak: written by make soak -->", "<!-- end of soak -->"


@dataclass(slots=True)
class Soaked:
    """What was measured. `memory` holds (seconds, gateway MiB, recommender MiB).

    `peak_left` and `left`: the share of the cores' time that the host did not give to others, at the peak and
    under the load.
    """

    seconds: float
    peak: float = 0.0
    peak_left: float = 1.0
    left: float = 1.0
    loud: Tally = field(default_factory=Tally)
    quiet: Tally = field(default_factory=Tally)
    signals: Tally = field(default_factory=Tally)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    imports: int = 0
    imports_put_off: int = 0
    recovery_seconds: float = 0.0

    @property
    def goodput(self) -> float:
        return (self.loud.served + self.quiet.served + self.signals.served) / self.seconds

    @property
    def goodput_share(self) -> float:
        """Of the peak, for each second of processor that the host left."""
        return (self.goodput / self.left) / (self.peak / self.peak_left)

    @property
    def offered(self) -> float:
        kinds = (self.loud, self.quiet, self.signals)
        return sum(sum(one.outcomes.values()) + one.unsent for one in kinds) / self.seconds

    def grown(self, column: int) -> float:
        """MiB between the end of the first fifth and the end: what a start needs is not growth."""
        rows = self.memory
        return rows[-1][column] - rows[len(rows) // 5][column] if rows else 0.0


class _Requests:
    """Makes the requests of the callers: a loud key, a quiet one, and tracking."""

    def __init__(self, keys: dict[str, str], soaked: Soaked) -> None:
        self._keys = keys
        self._soaked = soaked

    def recommendation(self, rng: random.Random, key: str = "secret") -> bytes:
        asked = {"user_id": f"soak-{rng.randrange(_BUYERS)}", "count": 5, "placement": "soak"}
        return request_of("/v1/recommendations", self._keys[key], asked)

    def loud(self, rng: random.Random) -> tuple[bytes, Tally]:
        if rng.random() < 0.1:
            event: dict[str, object] = {
                "userId": f"soak-{rng.randrange(_BUYERS)}",
                "event": "Content Viewed",
                "properties": {"asset_id": f"soak-{rng.randrange(_ASSETS)}"},
                "messageId": f"soak-{rng.getrandbits(64)}",
            }
            return request_of("/v1/track", self._keys["secret"], event), self._soaked.signals
        return self.recommendation(rng), self._soaked.loud

    def quiet(self, rng: random.Random) -> tuple[bytes, Tally]:
        return self.recommendation(rng, "quiet"), self._soaked.quiet


def soak(
    stack: Stack,
    quiet_key: str,
    seconds: float,
    rng: random.Random,
    tell: Callable[[str], None] = lambda _: None,
) -> Soaked:
    """Peak, then ten times of it with imports beside it, then silence and a first caller."""
    tell(f"Finding the peak, {2 * _PEAK_SECONDS:.0f} seconds")
    soaked = Soaked(seconds)
    keys = {"secret": stack.keys["secret"], "quiet": quiet_key}
    port = stack.settings.gateway.service
    soaked.peak, soaked.peak_left = asyncio.run(_peak(port, keys, rng))
    tell(f"{soaked.peak:.0f}/s are served when nobody asks for more; now ten times as many are asked for")
    stopping = threading.Event()
    beside = [threading.Thread(target=_import, args=(stack, soaked, stopping, n)) for n in range(_IMPORTERS)]
    beside.append(threading.Thread(target=_watch, args=(stack, soaked, stopping, tell)))
    for thread in beside:
        thread.start()
    left = HostShare()
    try:
        asyncio.run(_overload(port, keys, soaked, rng))
        soaked.left = 1.0 - (left.taken() or 0.0)
    finally:
        stopping.set()
    ended = time.monotonic()
    soaked.recovery_seconds = asyncio.run(_recovered(port, keys, ended, rng))
    for thread in beside:
        thread.join()
    return soaked


async def _peak(port: int, keys: dict[str, str], rng: random.Random) -> tuple[float, float]:
    """→ the most requests a second that are served when none asks for more, and what the host left then."""
    sender = Sender(port)
    found = []
    for callers in (_PEAK_CALLERS // 3, _PEAK_CALLERS):
        tallies, left = Soaked(_PEAK_SECONDS), HostShare()
        make = _Requests(keys, tallies).loud
        await closed(sender, make, callers, time.monotonic() + _PEAK_SECONDS, rng)
        found.append((tallies.goodput, 1.0 - (left.taken() or 0.0)))
    await sender.close()
    return max(found)


async def _overload(port: int, keys: dict[str, str], soaked: Soaked, rng: random.Random) -> None:
    loud, quiet = Sender(port), Sender(port)
    requests = _Requests(keys, soaked)
    until = time.monotonic() + soaked.seconds
    await asyncio.gather(
        at_rate(loud, requests.loud, _TIMES * soaked.peak, until, rng),
        at_rate(quiet, requests.quiet, _QUIET_PER_SECOND, until, rng),
    )
    await loud.close()
    await quiet.close()


async def _recovered(port: int, keys: dict[str, str], ended: float, rng: random.Random) -> float:
    """→ seconds from the end of the load to the first of ten answers in a row as on a calm day."""
    sender, good, first = Sender(port), 0, time.monotonic()
    while good < 10 and time.monotonic() - ended < 60:
        tallies = Soaked(1.0)
        began = time.monotonic()
        await sender.send(_Requests(keys, tallies).recommendation(rng), tallies.loud)
        if tallies.loud.served and time.monotonic() - began < 0.5:
            first = began if not good else first
            good += 1
        else:
            good = 0
        await asyncio.sleep(0.02)
    await sender.close()
    return first - ended if good else 60.0


def _import(stack: Stack, soaked: Soaked, stopping: threading.Event, number: int) -> None:
    """An importer that sends its rows again and again, and waits when it is told to."""
    lines = [
        orjson.dumps(
            {"id": f"import-{number}-{n}", "title": f"Row {n} of {number}", "url": f"https://example.com/{n}"}
        )
        for n in range(200)
    ]
    pool = urllib3.PoolManager(retries=False)
    headers = {
        "Authorization": f"Bearer {stack.keys['secret']}",
        "Content-Type": "application/x-ndjson",
    }
    while not stopping.is_set():
        try:
            answer = pool.request(
                "POST", f"{stack.url}/v1/assets:import", body=b"\n".join(lines), headers=headers, timeout=60.0
            )
        except urllib3.exceptions.HTTPError:
            soaked.imports_put_off += 1
            stopping.wait(1.0)
            continue
        if answer.status == 200:
            soaked.imports += 1
        else:
            soaked.imports_put_off += 1
            stopping.wait(float(answer.headers.get("Retry-After", 1)))


def _watch(stack: Stack, soaked: Soaked, stopping: threading.Event, tell: Callable[[str], None]) -> None:
    began, told, served_before = time.monotonic(), 0.0, 0
    workers = {service.name: psutil.Process(service.process.pid) for service in stack.services.running}
    while True:
        gateway, recommender = (_mebibytes(workers[name]) for name in ("gateway", "recommender"))
        now = time.monotonic() - began
        soaked.memory.append((now, gateway, recommender))
        if now - told >= _TOLD_SECONDS:
            served = soaked.loud.served + soaked.quiet.served + soaked.signals.served
            rate = (served - served_before) / (now - told)
            far = f"{now / 60:.0f} of {soaked.seconds / 60:.0f} minutes"
            tell(f"{far}: {rate:.0f}/s served, gateway {gateway:.0f} MiB, recommender {recommender:.0f} MiB")
            told, served_before = now, served
        if stopping.wait(_SAMPLE_SECONDS):
            return


def _mebibytes(process: psutil.Process) -> float:
    """Resident memory of gunicorn and its worker."""
    family = [process, *process.children()]
    return float(sum(one.memory_info().rss for one in family)) / 1024**2


def fill(stack: Stack) -> str:
    """Assets and buyers; → a second key, of another caller."""
    client = Client(stack.url, stack.keys["secret"])
    topics = ("doors", "audits", "energy", "probes", "alarms")
    client.import_lines(
        [
            orjson.dumps(
                {
                    "id": f"soak-{n}",
                    "title": f"About {topics[n % 5]} and {topics[n % 3]}, part {n}",
                    "url": f"https://www.example.com/{n}",
                }
            )
            for n in range(_ASSETS)
        ]
    )
    history = _history()
    for start in range(0, len(history), _SENT_AT_ONCE):
        client.send_events(history[start : start + _SENT_AT_ONCE])
    return _second_key(stack)


def _history() -> list[bytes]:
    rng = random.Random(_HISTORY)
    return [
        orjson.dumps(
            {
                "type": "track",
                "userId": f"soak-{buyer}",
                "event": "Content Viewed",
                "properties": {"asset_id": f"soak-{rng.randrange(_ASSETS)}"},
                "messageId": f"soak-history-{buyer}-{number}",
            }
        )
        for buyer in range(_BUYERS)
        for number in range(_HISTORY)
    ]


def _second_key(stack: Stack) -> str:
    from datetime import UTC, datetime

    from gateway.keys.database import DatabaseKeySource
    from gateway.keys.model import KeyKind, make_key
    from servicekit.database import create_engine

    engine = create_engine(stack.database_url, pool_size=1, application_name="foreword-soak")
    now = datetime.now(UTC)
    text, key = make_key(KeyKind.SECRET, name="quiet", scopes=("recommend",), now=now)
    DatabaseKeySource(engine).add(key)
    engine.dispose()
    time.sleep(2.5)  # the gateway has read its keys anew
    return text


def table(soaked: Soaked) -> str:
    loud, quiet, signals = soaked.loud, soaked.quiet, soaked.signals
    broken = sum(
        count
        for tally in (loud, quiet, signals)
        for outcome, count in tally.outcomes.items()
        if outcome not in ("served", "refused", "degraded")
    )
    rows: Sequence[tuple[str, str]] = (
        ("most that is served when nobody asks for more (peak)", f"{soaked.peak:.0f}/s"),
        (f"asked for {soaked.seconds / 60:.1f} minutes", f"{soaked.offered:.0f}/s"),
        (
            "served of it (goodput)",
            f"{soaked.goodput:.0f}/s, {soaked.goodput / soaked.peak:.0%} of the peak; "
            f"{soaked.goodput_share:.0%} for each second of processor",
        ),
        (
            "cores' time that the host gave to others: at the peak, then",
            f"{1 - soaked.peak_left:.0%}, {1 - soaked.left:.0%}",
        ),
        (
            "what was served took (p50, p99)",
            f"{loud.quantile(0.5) * 1000:.0f} ms, {loud.quantile(0.99) * 1000:.0f} ms",
        ),
        ("refused with Retry-After", f"{sum(t.outcomes['refused'] for t in (loud, quiet, signals)):,}"),
        ("answered from memory (`degraded`)", f"{loud.outcomes['degraded'] + quiet.outcomes['degraded']:,}"),
        ("broken, or refused without Retry-After", f"{broken:,}"),
        (
            "a second key that asks 5 times a second",
            f"{quiet.served / max(1, sum(quiet.outcomes.values()) + quiet.unsent):.0%} served, "
            f"p99 {quiet.quantile(0.99) * 1000:.0f} ms",
        ),
        ("signals stored", f"{signals.served / soaked.seconds:.0f}/s"),
        (
            f"imports of 200 rows by {_IMPORTERS} importers",
            f"{soaked.imports}, put off {soaked.imports_put_off}",
        ),
        (
            "memory after the first fifth → at the end",
            f"gateway {soaked.memory[len(soaked.memory) // 5][1]:.0f} → {soaked.memory[-1][1]:.0f} MiB, "
            f"recommender {soaked.memory[len(soaked.memory) // 5][2]:.0f} → {soaked.memory[-1][2]:.0f} MiB",
        ),
        ("as on a calm day after the load ended", f"{soaked.recovery_seconds:.2f} s"),
    )
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="the page whose table is written anew")
    given = parser.parse_args()
    heed_stops()
    console = Console(highlight=False)
    tell = partial(print, file=sys.stderr, flush=True)
    environment = {
        "FOREWORD_EMBEDDER_MODEL": "hashing-384",
        "FOREWORD_RATE_LIMIT": "off",
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="foreword-soak-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        settings, _ = settings_in(Path(folder) / "data")
        with running(settings, tell, environment) as stack:
            soaked = soak(stack, fill(stack), 60.0 * given.minutes, random.Random(given.seed), tell)
    console.print(table(soaked), soft_wrap=True, markup=False)
    for name, tally in (("loud", soaked.loud), ("quiet", soaked.quiet), ("signals", soaked.signals)):
        console.print(name, dict(tally.outcomes), f"unsent {tally.unsent}", soft_wrap=True, markup=False)
    if given.write is not None:
        before, _, rest = given.write.read_text().partition(_BEGIN)
        given.write.write_text(f"{before}{_BEGIN}\n{table(soaked)}\n{_END}{rest.partition(_END)[2]}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
