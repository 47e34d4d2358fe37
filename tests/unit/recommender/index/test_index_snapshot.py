"""A snapshot gives back exactly what it was made of, or says why it cannot be used."""

from __future__ import annotations

import fcntl
from pathlib import Path

import numpy as np
import pytest

from recommender.domain.catalogue import AssetCard
from recommender.index.catalogue_builder import AssetRow, CatalogueBuilder
from recommender.index.snapshot import (
    SnapshotMark,
    SnapshotUnusable,
    discard_snapshot,
    read_snapshot,
    write_snapshot,
)

MARK = SnapshotMark(revision=7, model_id="model", dimension=4, fingerprint="f")


def _row(number: int, change: int, **changes: str) -> AssetRow:
    card = AssetCard(
        asset_id=f"asset-{number} ü",
        title=changes.get("title", f"Title {number}"),
        url=changes.get("url", f"https://www.example.com/{number}/"),
        type="article",
        language=None if number % 2 else "de",
        summary=None,
        image_url=None,
        topics=("doors", f"topic {number % 3}"),
        personas=(),
        industries=("retail",) if number % 2 else (),
        regions=(),
        equivalent_to="asset-0 ü" if number == 5 else None,
        stage_source="model",
    )
    vector = np.full(4, number, dtype=np.float32) if number % 4 else None
    stage = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    return AssetRow(card, number != 3, -np.inf, np.inf, float(number), stage, vector, change)


@pytest.fixture
def builder() -> CatalogueBuilder:
    """Ten assets, of which one was changed and one removed."""
    made = CatalogueBuilder(4, "model")
    for number in range(10):
        made.put(_row(number, number))
    made.put(_row(2, 10, title="Changed", url="https://www.example.com/1"))
    made.remove("asset-7 ü")
    return made


def _written(folder: Path, builder: CatalogueBuilder) -> Path:
    write_snapshot(folder, MARK, builder.living())
    (path,) = folder.iterdir()
    return path


def test_a_filled_builder_is_the_one_that_took_row_by_row(tmp_path: Path, builder: CatalogueBuilder) -> None:
    _written(tmp_path, builder)
    found = read_snapshot(tmp_path, "model", 4, "f")
    assert found is not None
    assert found[0] == MARK
    filled = CatalogueBuilder(4, "model")
    filled.fill(found[1])
    plain = CatalogueBuilder(4, "model")
    for number in (0, 1, 3, 4, 5, 6, 8, 9):
        plain.put(_row(number, number))
    plain.put(_row(2, 10, title="Changed", url="https://www.example.com/1"))
    # Both go on alike: one more asset, one that goes, one that changes.
    for one in (filled, plain):
        one.put(_row(11, 11))
        one.remove("asset-1 ü")
        one.put(_row(6, 12, title="Changed again"))
    ours, theirs = filled.publish(12), plain.publish(12)
    assert ours.cards == theirs.cards
    assert ours.row_of == theirs.row_of
    assert filled.pages == plain.pages
    for name in (
        "vectors",
        "has_vector",
        "alive",
        "approved",
        "publish_at",
        "expires_at",
        "published_at",
        "stage",
        "group",
    ):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.tag_rows.keys() == theirs.tag_rows.keys()
    for field, values in theirs.tag_rows.items():
        assert {v: r.tolist() for v, r in values.items()} == {
            v: r.tolist() for v, r in ours.tag_rows[field].items()
        }
    assert np.array_equal(filled.living().change, plain.living().change)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "nowhere", "model", 4, "f") is None
    discard_snapshot(tmp_path)


def test_a_byte_that_changed_anywhere_is_found(tmp_path: Path, builder: CatalogueBuilder) -> None:
    path = _written(tmp_path, builder)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(SnapshotUnusable):
            read_snapshot(tmp_path, "model", 4, "f")
    for length in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotUnusable):
            read_snapshot(tmp_path, "model", 4, "f")


@pytest.mark.parametrize(
    ("model", "dimension", "fingerprint", "why"),
    [("other", 4, "f", "other serves"), ("model", 8, "f", "vectors"), ("model", 4, "g", "stage model")],
)
def test_one_that_was_made_of_something_else_is_refused(
    tmp_path: Path, builder: CatalogueBuilder, model: str, dimension: int, fingerprint: str, why: str
) -> None:
    _written(tmp_path, builder)
    with pytest.raises(SnapshotUnusable, match=why):
        read_snapshot(tmp_path, model, dimension, fingerprint)


def test_a_new_one_takes_the_place_of_the_old(tmp_path: Path, builder: CatalogueBuilder) -> None:
    first = _written(tmp_path, builder)
    builder.remove("asset-0 ü")
    assert _written(tmp_path, builder) == first, "and leaves nothing beside it"
    found = read_snapshot(tmp_path, "model", 4, "f")
    assert found is not None
    assert "asset-0 ü" not in {card.asset_id for card in found[1].cards}


def test_halves_that_killed_writers_left_are_removed_and_those_under_way_are_not(
    tmp_path: Path, builder: CatalogueBuilder
) -> None:
    left, under_way = tmp_path / ".catalogue.snapshot-left", tmp_path / ".catalogue.snapshot-now"
    left.write_bytes(b"half")
    under_way.write_bytes(b"half")
    with under_way.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        write_snapshot(tmp_path, MARK, builder.living())
    assert not left.exists()
    assert under_way.exists()
