"""A replica that starts from a snapshot serves what one serves that reads everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recommender_rig import Rig, RigMaker

ASSETS = 40


def _serves(rig: Rig) -> dict[str, Any]:
    snapshot = rig.parts["replica"].snapshot
    catalogue = snapshot.catalogue
    return {
        "revision": catalogue.revision,
        "cards": {i: catalogue.cards[row] for i, row in catalogue.row_of.items()},
        "vectors": {i: catalogue.vectors[row].tolist() for i, row in catalogue.row_of.items()},
        "stage": {i: catalogue.stage[row].tolist() for i, row in catalogue.row_of.items()},
        "pages": {page: snapshot.asset_at(page) for page in snapshot.pages},
        "eligible": {i for i, row in catalogue.row_of.items() if catalogue.eligible(0.0)[row]},
        "length": len(snapshot.index) == len(catalogue),
    }


@pytest.fixture
def kept(make_recommender: RigMaker, tmp_path: Path) -> Rig:
    """A recommender that has written its snapshot."""
    rig = make_recommender(snapshot_dir=tmp_path)
    for number in range(ASSETS):
        rig.put(f"a{number}", body=f"What {number} doors say.", topics=[f"t{number % 3}"])
    rig.parts["reconciler"].step()
    rig.parts["replica"].write_snapshot()
    assert (tmp_path / "catalogue.snapshot").exists()
    return rig


def _logged(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_it_starts_from_the_snapshot_and_catches_up(
    kept: Rig, make_recommender: RigMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.put("a1", title="Another title")
    kept.put("new", body="New doors.")
    assert kept.client.delete(kept.path("a2")).status_code == 204
    _logged(capsys)
    started = make_recommender(snapshot_dir=tmp_path)
    assert "snapshot_loaded" in _logged(capsys)
    plain = make_recommender()
    assert _serves(started) == _serves(plain)
    assert "a2" not in started.shown(user_id="somebody")
    assert {"a1", "new"} <= started.shown(user_id="somebody")


def test_a_catalogue_that_was_emptied_is_started_from_and_filled_again(
    make_recommender: RigMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = make_recommender(snapshot_dir=tmp_path)
    rig.put("only", body="What one door says.")
    rig.parts["replica"].write_snapshot()
    assert rig.client.delete(rig.path("only")).status_code == 204
    rig.parts["replica"].catch_up(anew=True)
    rig.parts["replica"].write_snapshot()
    _logged(capsys)
    started = make_recommender(snapshot_dir=tmp_path)
    assert "snapshot_loaded" in _logged(capsys)
    assert started.shown(user_id="somebody") == set()
    started.put("next", body="What the next door says.")
    assert started.shown(user_id="somebody") == {"next"}


def test_nothing_is_written_when_nothing_changed(kept: Rig, tmp_path: Path) -> None:
    before = (tmp_path / "catalogue.snapshot").stat().st_ino
    kept.parts["replica"].write_snapshot()
    assert (tmp_path / "catalogue.snapshot").stat().st_ino == before
    kept.put("one more")
    kept.parts["replica"].write_snapshot()
    assert (tmp_path / "catalogue.snapshot").stat().st_ino != before


def _damage(kept: Rig, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _restore_older(kept: Rig, path: Path) -> None:
    with kept.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM recommender.embeddings")
        connection.exec_driver_sql("DELETE FROM recommender.assets WHERE change > 5")
        connection.exec_driver_sql("UPDATE recommender.catalogue_head SET revision = 5")


def _other_database(kept: Rig, path: Path) -> None:
    """As many assets at the same revisions, and yet not the same."""
    with kept.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM recommender.embeddings")
        connection.exec_driver_sql("UPDATE recommender.assets SET asset_id = 'other ' || asset_id")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_damage, "checksum"),
        (_restore_older, "the database is at 5"),
        (_other_database, "other assets"),
    ],
)
def test_a_bad_snapshot_is_thrown_away_and_said_so(
    kept: Rig,
    make_recommender: RigMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Any,
    why: str,
) -> None:
    path = tmp_path / "catalogue.snapshot"
    spoil(kept, path)
    _logged(capsys)
    started = make_recommender(snapshot_dir=tmp_path)
    said = _logged(capsys)
    assert "snapshot_thrown_away" in said
    assert why in said
    assert not path.exists()
    assert _serves(started) == _serves(make_recommender())
