"""Words of what is shown of an asset: rarer ones count for more, and growing in steps is growing at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.domain.catalogue import AssetCard
from recommender.index.word_index import WordIndex


def card(title: str, summary: str | None = None, topics: tuple[str, ...] = ()) -> AssetCard:
    url = "https://www.example.com/"
    return AssetCard("a", title, url, "blog", "en", summary, None, topics, (), (), (), None, "model")


def found(
    cards: list[AssetCard], text: str, eligible: list[bool] | None = None, count: int = 10
) -> list[int]:
    index = WordIndex()
    index.grow(cards)
    return index.best(text, np.array(eligible or [True] * len(cards), dtype=np.bool_), count)


def test_a_rare_word_outweighs_a_common_one() -> None:
    cards = [card(f"Guide for number {n}") for n in range(20)] + [card("Demurrage")]
    assert found(cards, "a guide for demurrage", count=1) == [20]


def test_titles_summaries_and_topics_are_read_whatever_their_case() -> None:
    cards = [
        card("Kühlkette"),
        card("Other", "Alles zur KÜHLKETTE."),
        card("More", None, ("kühlkette",)),
        card("None"),
    ]
    assert found(cards, "Kühlkette") == [0, 1, 2]


def test_only_eligible_rows_are_found_and_no_more_than_asked_for() -> None:
    cards = [card("Pallet") for _ in range(5)]
    assert found(cards, "pallet", [True, False, True, True, True], 3) == [0, 2, 3]
    assert found(cards, "x ?") == []
    assert found([], "pallet") == []


def test_a_reader_of_an_older_catalogue_sees_none_of_the_rows_since() -> None:
    index = WordIndex()
    index.grow([card("Pallet"), card("Pallet")])
    assert index.best("pallet", np.array([True]), 10) == [0]


@given(
    st.lists(st.text("abc ", min_size=1, max_size=12), max_size=30),
    st.integers(0, 30),
    st.text("abc ", max_size=9),
)
def test_growing_in_steps_is_growing_at_once(titles: list[str], at: int, text: str) -> None:
    cards = [card(title) for title in titles]
    index = WordIndex()
    index.grow(cards[:at])
    index.grow(cards)
    assert index.best(text, np.ones(len(cards), dtype=np.bool_), 30) == found(cards, text, count=30)
