"""A catalogue that grew by changes says the same of every living asset as one built at once."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from ranking_firm import card
from recommender.domain.assets import url_key
from recommender.domain.catalogue import TAG_FIELDS, Catalogue
from recommender.index.catalogue_builder import AssetRow, CatalogueBuilder

WIDTH = 6


def asset(chance: random.Random, asset_id: str) -> AssetRow:
    names = [f"a{n}" for n in range(20)]
    made = card(
        asset_id,
        title=f"Version {chance.random()}",
        url=f"https://www.firm.example/p{chance.randrange(12)}/",
        type=chance.choice(["blog", "ebook"]),
        language=chance.choice([None, "en", "de"]),
        topics=tuple(chance.sample(["x", "y", "z"], chance.randrange(3))),
        personas=tuple(chance.sample(["it", "finance"], chance.randrange(2))),
        equivalent_to=chance.choice([*[None] * 12, *(n for n in names if n != asset_id), "never-there"]),
    )
    rng = np.random.default_rng(chance.randrange(1 << 30))
    vector = rng.normal(size=WIDTH if chance.random() > 0.2 else WIDTH + 2).astype(np.float32)
    return AssetRow(
        made,
        approved=chance.random() > 0.3,
        publish_at=chance.choice([-np.inf, 5.0]),
        expires_at=chance.choice([np.inf, 9.0]),
        published_at=chance.random(),
        stage=np.full(4, 0.25, dtype=np.float32),
        vector=chance.choice([None, vector, vector]),
    )


def living(catalogue: Catalogue) -> dict[str, Any]:
    """What is said of each living asset, without row numbers."""
    eligible = catalogue.eligible(6.0)
    found: dict[str, Any] = {}
    members: dict[int, set[str]] = {}
    for asset_id, row in catalogue.row_of.items():
        members.setdefault(int(catalogue.group[row]), set()).add(asset_id)
    for asset_id, row in catalogue.row_of.items():
        tags = {
            (name, value)
            for name in TAG_FIELDS
            for value, rows in catalogue.tag_rows[name].items()
            if row in rows.tolist()
        }
        found[asset_id] = (
            catalogue.cards[row],
            catalogue.vectors[row].tolist(),
            bool(catalogue.has_vector[row]),
            bool(catalogue.alive[row]),
            bool(eligible[row]),
            float(catalogue.published_at[row]),
            tags,
            frozenset(members[int(catalogue.group[row])]),
        )
    return found


@pytest.mark.parametrize("seed", range(12))
def test_incremental_equals_built_anew(seed: int) -> None:
    chance = random.Random(seed)
    growing = CatalogueBuilder(WIDTH, "m")
    now: dict[str, AssetRow] = {}
    pictures: list[tuple[Catalogue, dict[str, Any]]] = []
    for step in range(300):
        asset_id = f"a{chance.randrange(20)}"
        if chance.random() < 0.25:
            growing.remove(asset_id)
            now.pop(asset_id, None)
        else:
            now[asset_id] = asset(chance, asset_id)
            growing.put(now[asset_id])
        if step % 50 == 0 or step == 299:
            anew = CatalogueBuilder(WIDTH, "m")
            for row in now.values():
                anew.put(row)
            published = growing.publish(step)
            assert living(published) == living(anew.publish(step))
            assert growing.pages == anew.pages
            assert set(growing.pages) == {url_key(row.card.url) for row in now.values()}
            pictures.append((published, living(published)))
    for picture, said in pictures:  # what was published is never changed
        assert living(picture) == said
        assert not picture.vectors.flags.writeable


def groups(*cards: Any) -> set[frozenset[str]]:
    builder = CatalogueBuilder(WIDTH, None)
    for one in cards:
        infinite = float("inf")
        stage = np.full(4, 0.25, dtype=np.float32)
        builder.put(AssetRow(one, True, -infinite, infinite, 0.0, stage, None))
    found = builder.publish(1)
    members: dict[int, set[str]] = {}
    for asset_id, row in found.row_of.items():
        members.setdefault(int(found.group[row]), set()).add(asset_id)
    return {frozenset(ids) for ids in members.values()}


def test_equivalence_holds_over_others_in_circles_and_without_the_original() -> None:
    chain = [card("a"), card("b", equivalent_to="a"), card("c", equivalent_to="b"), card("d")]
    assert groups(*chain) == groups(*reversed(chain)) == {frozenset("abc"), frozenset("d")}
    circle = [card("a", equivalent_to="b"), card("b", equivalent_to="a"), card("c")]
    assert groups(*circle) == {frozenset("ab"), frozenset("c")}
    orphans = [
        card("a", equivalent_to="gone"),
        card("b", equivalent_to="gone"),
        card("c", equivalent_to="lost"),
    ]
    assert groups(*orphans) == {frozenset("ab"), frozenset("c")}


def test_many_dead_rows_ask_for_compaction() -> None:
    builder = CatalogueBuilder(WIDTH, None)
    chance = random.Random(1)
    one = asset(chance, "a0")
    for _ in range(1025):
        builder.put(one)
    assert not builder.needs_compaction
    builder.put(one)
    assert builder.needs_compaction
