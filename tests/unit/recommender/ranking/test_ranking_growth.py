"""What is derived from a catalogue grows with it, and is what building it anew would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ranking_firm import card, make_catalogue, make_firm
from recommender.domain.catalogue import Catalogue
from recommender.numeric.tags import TagTable, _make_table
from recommender.numeric.text_space import Grown, _make_space, take_means_from, text_space

WHOLE = make_firm(120, 16)


def first(n: int) -> Catalogue:
    """The catalogue as it was when it had `n` rows."""
    small = make_catalogue(WHOLE.cards[:n], WHOLE.vectors[:n], published_at=WHOLE.published_at[:n])
    return replace(small, cards=WHOLE.cards[:n])


def assert_same_tables(one: TagTable, other: TagTable) -> None:
    assert one.index == other.index
    np.testing.assert_array_equal(one.of_row, other.of_row)
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_array_equal(one.type_of_row, other.type_of_row)
    for field in ("personas", "industries"):
        np.testing.assert_array_equal(one.tagged[field], other.tagged[field])


def test_a_grown_tag_table_is_the_one_made_anew() -> None:
    calls: list[int] = []

    def counted(catalogue: Catalogue, former: tuple[int, TagTable] | None) -> TagTable:
        calls.append(0 if former is None else former[0])
        return _make_table(catalogue, former)

    table = Grown(counted)
    for n in (1, 30, 31, 120):
        assert_same_tables(table(first(n)), _make_table(first(n), None))
    assert calls == [0, 1, 30, 31]
    assert table(first(40)).size == _make_table(first(40), None).size
    assert calls[-1] == 0  # a smaller catalogue is not the former one grown
    wide = [card(f"w{i}", topics=tuple(f"t{j}" for j in range(i))) for i in range(9)]
    catalogue = make_catalogue(
        [*WHOLE.cards[:40], *wide], np.concatenate([WHOLE.vectors[:40], np.eye(16)[:9]])
    )
    assert_same_tables(table(catalogue), _make_table(catalogue, None))
    assert calls[-1] == 40


def test_a_grown_text_space_is_the_one_made_anew_and_centres_to_unit_norm() -> None:
    space = Grown(_make_space)
    for n in (20, 119, 120):
        catalogue = replace(first(n), alive=np.arange(n) % 7 > 0)
        grown, anew = space(catalogue), _make_space(catalogue, None)
        np.testing.assert_array_equal(grown.language, anew.language)
        np.testing.assert_array_equal(grown.means, anew.means)
        np.testing.assert_array_equal(grown.inverse_norm, anew.inverse_norm)
        centred = grown.centred(catalogue, np.arange(n))
        np.testing.assert_allclose(np.linalg.norm(centred, axis=1), 1.0, atol=1e-5)


def test_means_of_a_replay_are_read_from_what_was_published_by_then() -> None:
    later = np.arange(120) >= 80
    other = WHOLE.vectors.copy()
    other[later] = np.roll(other[later], 1, axis=1)  # other texts, yet to come
    spaces = []
    for vectors in (WHOLE.vectors, other):
        catalogue = replace(WHOLE, vectors=vectors)
        take_means_from(catalogue, ~later)
        spaces.append(text_space(catalogue))
    np.testing.assert_array_equal(spaces[0].means, spaces[1].means)
    assert not np.array_equal(spaces[0].means, text_space(replace(WHOLE)).means)
