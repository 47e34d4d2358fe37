"""The index of a large catalogue is built beside the requests; puts and deletes meanwhile count at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender.service.index_building import IndexBuilding
from recommender_rig import Rig, RigMaker

ASSETS = 32
EXACT = 15


@pytest.fixture
def large(make_recommender: RigMaker, tmp_path: Path) -> Rig:
    """More assets than are searched exactly; nothing is built yet."""
    rig = make_recommender(snapshot_dir=tmp_path, index_exact_assets=EXACT)
    for number in range(ASSETS):
        rig.put(f"a{number}", body=f"What {number} doors say of {number % 7} windows.")
    rig.parts["reconciler"].step()
    return rig


def _index(rig: Rig) -> Any:
    return rig.parts["replica"].snapshot.index


def _neighbours(rig: Rig, asset_id: str, count: int = 5) -> set[str]:
    snapshot = rig.parts["replica"].snapshot
    catalogue = snapshot.catalogue
    vector = catalogue.vectors[catalogue.row_of[asset_id]]
    _, rows = snapshot.index.search(vector[None, :], count, catalogue.eligible(0.0))
    return {catalogue.cards[row].asset_id for row in rows[0] if row >= 0}


def _is_right(rig: Rig) -> None:
    """Each row that is found is alive, and each asset finds itself."""
    catalogue = rig.parts["replica"].snapshot.catalogue
    assert len(_index(rig)) == len(catalogue)
    for asset_id in catalogue.row_of:
        found = _neighbours(rig, asset_id)
        assert asset_id in found
        assert found <= catalogue.row_of.keys()


def test_it_is_built_once_and_says_how_good_it_is(large: Rig) -> None:
    assert _index(large).approximate is None
    large.parts["building"].step()
    built = _index(large).approximate
    assert built.rows == len(large.parts["replica"].snapshot.catalogue)
    assert built.tuning.recall >= 0.99
    large.parts["building"].step()
    assert _index(large).approximate is built, "there is nothing to build"
    _is_right(large)


def test_puts_and_deletes_while_it_is_built_take_effect_at_once_and_stay(
    large: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The building stands still in the middle while the catalogue changes."""
    building, build = large.parts["building"], IndexBuilding._build

    def slowly(self: IndexBuilding, snapshot: Any) -> Any:
        found = build(self, snapshot)
        assert large.put("new", body="New doors.").status_code == 201
        assert large.put("a1", title="Another title", body="Other doors.").status_code == 200
        assert large.client.delete(large.path("a2")).status_code == 204
        large.parts["reconciler"].step()
        assert "new" in _neighbours(large, "new"), "before the new index serves"
        return found

    monkeypatch.setattr(IndexBuilding, "_build", slowly)
    building.step()
    assert _index(large).approximate is not None
    assert len(_index(large).exact) >= 2, "what came meanwhile is searched exactly"
    _is_right(large)
    assert "a2" not in large.shown(user_id="somebody", count=50)
    catalogue = large.parts["replica"].snapshot.catalogue
    assert catalogue.cards[catalogue.row_of["a1"]].title == "Another title"


def test_an_index_of_a_catalogue_that_was_loaded_anew_is_not_served(
    large: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = IndexBuilding._build

    def overtaken(self: IndexBuilding, snapshot: Any) -> Any:
        found = build(self, snapshot)
        large.parts["replica"].catch_up(anew=True)
        return found

    monkeypatch.setattr(IndexBuilding, "_build", overtaken)
    large.parts["building"].step()
    assert _index(large).approximate is None
    _is_right(large)


def test_a_snapshot_carries_it(large: Rig, make_recommender: RigMaker, tmp_path: Path) -> None:
    large.parts["building"].step()
    assert large.client.delete(large.path("a3")).status_code == 204
    large.parts["replica"].write_snapshot()
    assert large.client.delete(large.path("a4")).status_code == 204
    large.put("later", body="Later doors.")
    started = make_recommender(snapshot_dir=tmp_path, index_exact_assets=EXACT)
    carried = _index(started).approximate
    assert carried is not None
    assert carried.tuning == _index(large).approximate.tuning
    assert not {"a3", "a4"} & set(started.shown(user_id="somebody", count=50))
    _is_right(started)


def test_dead_rows_are_dropped_beside_the_requests(large: Rig) -> None:
    replica, building = large.parts["replica"], large.parts["building"]
    building.step()
    assert large.client.delete(large.path("a5")).status_code == 204
    rounds = 1 + 1024 // ASSETS
    for _ in range(rounds + 1):
        with large.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE recommender.assets a SET change = h.revision + n.number "
                "FROM recommender.catalogue_head h, (SELECT asset_id, row_number() OVER () AS number "
                "FROM recommender.assets) n WHERE n.asset_id = a.asset_id"
            )
            connection.exec_driver_sql("UPDATE recommender.catalogue_head SET revision = revision + 100")
        replica.catch_up()
    assert len(replica.snapshot.catalogue) > 1024
    served = {i: replica.snapshot.catalogue.vectors[r] for i, r in replica.snapshot.catalogue.row_of.items()}
    building.step()
    catalogue = replica.snapshot.catalogue
    assert len(catalogue) == len(catalogue.row_of) == ASSETS - 1
    assert all(np.array_equal(catalogue.vectors[catalogue.row_of[i]], v) for i, v in served.items())
    assert large.client.delete(large.path("a6")).status_code == 204
    _is_right(large)
