"""`foreword import` from a file to the log, stopped in the middle and run again."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psycopg
import pytest

from e2e.foreword_process import REPOSITORY, UserRun, environment, own_folder

pytestmark = pytest.mark.slow

SHARED = Path(os.environ.get("FOREWORD_SHARED_DATA") or REPOSITORY.parent / "shared" / "data") / "deskdrop"


@pytest.fixture(scope="module")
def run() -> Iterator[UserRun]:
    with own_folder() as base:
        started = UserRun(environment(base / "data"), base / "out.txt")
        try:
            started.wait_ready()
            yield started
        finally:
            started.end()


def command(run: UserRun, *paths: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "servicekit.cli", "import", *map(str, paths), "--url", run.api.url],
        env={**os.environ, "FOREWORD_DATA_DIR": str(run.folder), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def imported(run: UserRun, *paths: Path) -> str:
    process = command(run, *paths)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    return said


def counted(run: UserRun, query: str) -> int:
    socket = run.folder / "postgres"
    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres") as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def generated(folder: Path, name: str, count: int) -> Path:
    """A log of `count` signals, some named twice, gzip."""
    rng = random.Random(7)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    path = folder / f"{name}.ndjson.gz"
    with gzip.open(path, "wb", compresslevel=1) as out:
        for number in range(count):
            at += timedelta(seconds=rng.randint(1, 200))
            event = {
                "type": "track",
                "messageId": f"{name}-{number}",
                "userId": f"{name}-{rng.randint(0, 200)}",
                "event": rng.choice(["Content Viewed", "Asset Downloaded", "Webinar Attended"]),
                "timestamp": at.isoformat().replace("+00:00", "Z"),
                "properties": {"asset_id": f"generated-{rng.randint(0, 40)}"},
            }
            out.write(orjson.dumps(event) + b"\n")
            if number % 50 == 0:
                out.write(orjson.dumps(event) + b"\n")
    return path


def test_assets_and_signals_end_to_end(run: UserRun, tmp_path: Path) -> None:
    assets = tmp_path / "assets.ndjson"
    rows = [
        {"id": f"generated-{n}", "title": f"Text {n}", "url": f"https://www.example.com/{n}"}
        for n in range(41)
    ]
    assets.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    signals = generated(tmp_path, "small", 2_000)
    said = imported(run, assets, signals)
    assert "assets.ndjson: 41 stored" in said
    assert "small.ndjson.gz: 2,040 sent" in said
    own = "SELECT count(*) FROM recommender.signals WHERE event->>'messageId' LIKE 'small-%'"
    assert counted(run, own) == 2_000
    assert run.api.get_asset("generated-40").status == 200
    assert run.api.recommended(user_id="small-7")
    said = imported(run, assets, signals)
    assert "assets.ndjson: 41 unchanged" in said
    assert counted(run, own) == 2_000


def test_a_table_is_imported_as_it_is(run: UserRun, tmp_path: Path) -> None:
    table = tmp_path / "assets.csv"
    table.write_text("id;title;url\ncsv-1;Eins;https://www.example.com/1\n;Zwei;https://www.example.com/2\n")
    process = command(run, table)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, "a row was not stored, and a script must hear of it"
    assert "1 failed, 1 stored" in said
    assert "no id" in said


def test_killed_in_the_middle_and_run_again_nothing_is_doubled_or_lost(run: UserRun, tmp_path: Path) -> None:
    signals = generated(tmp_path, "long", 30_000)
    own = "SELECT count(*) FROM recommender.signals WHERE event->>'messageId' LIKE 'long-%'"
    process = command(run, signals)
    deadline = time.monotonic() + 120
    while counted(run, own) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1)  # what was under way may still be committed
    part = counted(run, own)
    assert 0 < part < 30_000, "it was to be stopped in the middle"
    said = imported(run, signals)
    assert "sent" in said
    assert counted(run, own) == 30_000
    assert counted(run, f"{own} GROUP BY message_key ORDER BY 1 DESC LIMIT 1") == 1
    buyers = "SELECT count(*) FROM recommender.identities WHERE external_id LIKE 'long-%'"
    assert counted(run, buyers) == 201


def test_a_wrong_key_and_nobody_there_are_one_sentence(run: UserRun, tmp_path: Path) -> None:
    path = tmp_path / "one.ndjson"
    path.write_bytes(b'{"id": "x", "title": "x", "url": "https://www.example.com/"}\n')
    environ = {**os.environ, "FOREWORD_DATA_DIR": str(tmp_path)}
    base = [sys.executable, "-m", "servicekit.cli", "import", str(path), "--url", run.api.url]
    for more, word in ((["--key", "fw_sk_wrong"], "key is not known"), ([], "--key")):
        done = subprocess.run([*base, *more], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the shared log is not at {SHARED}; FOREWORD_SHARED_DATA says where it is"
)
def test_the_shared_log_comes_in_whole(run: UserRun) -> None:
    before = counted(run, "SELECT count(*) FROM recommender.signals")
    assets = counted(run, "SELECT count(*) FROM recommender.assets")
    files = (SHARED / "assets.ndjson.gz", SHARED / "signals.ndjson.gz")
    lines = [gzip.decompress(path.read_bytes()).count(b"\n") for path in files]
    said = imported(run, *files)
    assert f"assets.ndjson.gz: {lines[0]:,} stored" in said
    assert f"signals.ndjson.gz: {lines[1]:,} sent" in said
    assert counted(run, "SELECT count(*) FROM recommender.assets") == assets + lines[0]
    letters = counted(run, "SELECT count(*) FROM recommender.dead_letters")
    assert counted(run, "SELECT count(*) FROM recommender.signals") + letters == before + lines[1]
    assert letters == 0
