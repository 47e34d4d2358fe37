"""A firm of a stated size for the benchmarks, made once in a folder and started from there again.

Assets have titles and summaries from a vocabulary of topics, and buyers engage with a topic or two. The
embedder is the hashing one: what is measured on top of it does not call the model.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from bench.page import say
from foreword_dev.free_ports import free_ports
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

_TOPICS = 200
_LEARNT = "foreword_recommender_behaviour_events"
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)
_EVENTS = ("Content Viewed", "Asset Downloaded", "Webinar Attended", "Pricing Viewed")
_TYPES = ("blog", "whitepaper", "case_study", "webinar", "datasheet")


@contextmanager
def firm(folder: Path, assets: int, buyers: int) -> Iterator[Stack]:
    """Foreword with this many assets and folded profiles, ready; made anew where the folder is empty."""
    names = [
        f"FOREWORD_{s}_{p}" for s in ("GATEWAY", "RECOMMENDER", "EMBEDDER") for p in ("PORT", "METRICS_PORT")
    ]
    ports = map(str, free_ports(len(names)))
    settings = RunSettings.from_environment(
        {**dict(zip(names, ports, strict=True)), "FOREWORD_DATA_DIR": str(folder), "FOREWORD_SAMPLE": "0"}
    )
    added = {
        "FOREWORD_EMBEDDER_MODEL": "hashing-384",
        "FOREWORD_RATE_LIMIT": "off",
        "FOREWORD_LOG_LEVEL": "WARNING",
        # What is measured is how fast answers come, not how fast they are refused.
        "FOREWORD_QUEUE_SECONDS": "60",
        "FOREWORD_SLOW_SECONDS": "60",
    }
    done = folder / f"filled-{assets}-{buyers}"
    if not done.exists():
        with running(settings, say, added) as stack:
            _fill(stack, folder, assets, buyers)
            done.touch()
    # Started anew, it learns from the whole log once and then rests, since nothing is added to the log.
    with running(settings, say, added) as stack:
        _wait_until_learnt(stack)
        yield stack


def buyer_ids(count: int) -> list[str]:
    return [f"buyer-{number}" for number in range(count)]


def _fill(stack: Stack, folder: Path, assets: int, buyers: int) -> None:
    rng = random.Random(11)
    say(f"Making {assets:,} assets and {buyers:,} buyers")
    _import(stack, _write(folder / "assets.ndjson", _assets(assets, rng)), "assets")
    _import(stack, _write(folder / "signals.ndjson", _signals(assets, buyers, rng)), "signals")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        while (
            left := connection.execute("SELECT count(*) FROM recommender.buyers WHERE stale").fetchone()
        ) != (0,):
            say(f"{left[0] if left else 0:,} profiles are still to be folded")
            time.sleep(5)


def _wait_until_learnt(stack: Stack) -> None:
    """Learning goes on beside requests for as long as it takes; what is measured is what comes after."""
    url = f"http://127.0.0.1:{stack.settings.recommender.metrics}/metrics"
    say("Waiting until behaviour is learnt from the log")
    deadline = time.monotonic() + 600
    while not _learnt_from(urllib3.request("GET", url).data.decode()):
        if time.monotonic() > deadline:
            raise SystemExit("behaviour was not learnt in time")
        time.sleep(1)


def _learnt_from(exposed: str) -> float:
    families = text_string_to_metric_families(exposed)
    return sum(one.value for family in families for one in family.samples if one.name == _LEARNT)


def _assets(count: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(count):
        topic = number % _TOPICS
        words = " ".join(f"topic{topic}word{rng.randrange(12)}" for _ in range(24))
        yield {
            "id": f"asset-{number}",
            "title": f"How topic {topic} pays, part {number // _TOPICS}",
            "summary": words,
            "url": f"https://www.example.com/resources/{number}",
            "type": _TYPES[number % len(_TYPES)],
            "topics": [f"topic-{topic}"],
            "language": "en",
            "status": "approved",
        }


def _signals(assets: int, buyers: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Two signals a buyer and more of a tenth; one in five belongs to one of many small accounts."""
    message = 0
    for number, buyer in enumerate(buyer_ids(buyers)):
        topics = [rng.randrange(_TOPICS), rng.randrange(_TOPICS)]
        for _ in range(12 if number % 10 == 0 else 2):
            asset = rng.choice(topics) + _TOPICS * rng.randrange(max(1, assets // _TOPICS))
            at = _STARTED + timedelta(seconds=rng.randrange(280 * 86_400))
            message += 1
            yield {
                "type": "track",
                "messageId": f"firm-{message}",
                "userId": buyer,
                "event": rng.choice(_EVENTS),
                "timestamp": at.isoformat(),
                "properties": {"asset_id": f"asset-{asset}"},
                **({"context": {"groupId": f"account-{number // 20}"}} if number % 5 == 0 else {}),
            }


def _write(path: Path, records: Iterator[dict[str, Any]]) -> Path:
    with path.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(record) + b"\n")
    return path


def _import(stack: Stack, path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "servicekit.cli", "import", str(path), "--as", kind, "--url", stack.url]
    environment = {**os.environ, "FOREWORD_DATA_DIR": str(stack.settings.data_dir)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"foreword import failed:\n{done.stderr}")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def worker_of(pid: int) -> int:
    """The process that serves: gunicorn's only child."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def serving(stack: Stack) -> dict[str, int]:
    """Process ids of the workers, by service."""
    return {one.name: worker_of(one.process.pid) for one in stack.services.running}
