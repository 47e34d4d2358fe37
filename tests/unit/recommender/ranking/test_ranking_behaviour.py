"""What is learnt from the log, incrementally and anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranking_firm import DAY, KINDS, NOW, make_events, make_firm
from recommender.domain.ranking_config import LINK_TERMS, TERMS
from recommender.domain.ranking_reader import load_ranking_config
from recommender.numeric.behaviour import empty_behaviour, event_table, learn_behaviour

FIRM = make_firm(120)
EVENTS = make_events(FIRM)


def test_popularity_counts_each_buyer_once_and_halves_with_time() -> None:
    view = KINDS.index("view")
    table = event_table([1, 1, 2], ["a", "a", "a"], [NOW - 4 * DAY, NOW, NOW], [view] * 3)
    learnt = learn_behaviour(table, KINDS, NOW)
    assert learnt.buyers.tolist() == [2.0]
    assert learnt.popularity[0, 2] == pytest.approx(1.5)  # the half-life of 96 hours


def test_new_events_bring_popularity_to_what_learning_anew_gives() -> None:
    order = np.argsort(EVENTS.at, kind="stable")
    early, late = order[: len(order) // 2], order[len(order) // 2 :]
    middle = float(EVENTS.at[early].max())
    grown = learn_behaviour(EVENTS.rows(early), KINDS, middle)
    for part in np.array_split(late, 7):
        grown = grown.with_events(EVENTS.rows(part), float(EVENTS.at[part].max()))
    anew = learn_behaviour(EVENTS, KINDS, grown.as_of)
    np.testing.assert_allclose(grown.popularity, anew.popularity, rtol=1e-9, atol=1e-12)
    for name in ("buyers", "impressions", "clicks"):
        np.testing.assert_array_equal(getattr(grown, name), getattr(anew, name))


def test_order_of_arrival_and_what_is_not_yet_do_not_matter() -> None:
    mixed = np.random.default_rng(3).permutation(len(EVENTS))
    one, other = learn_behaviour(EVENTS, KINDS, NOW), learn_behaviour(EVENTS.rows(mixed), KINDS, NOW)
    np.testing.assert_array_equal(one.popularity, other.popularity)
    np.testing.assert_array_equal(one.together.toarray(), other.together.toarray())
    before = learn_behaviour(EVENTS, KINDS, NOW - 100 * DAY)
    known = EVENTS.rows(EVENTS.at <= NOW - 100 * DAY)
    np.testing.assert_array_equal(
        before.popularity, learn_behaviour(known, KINDS, NOW - 100 * DAY).popularity
    )


def test_together_finds_the_topic_and_never_the_asset_itself() -> None:
    together = learn_behaviour(EVENTS, KINDS, NOW).together.toarray()
    topic = np.array([one.topics[0] for one in FIRM.cards])
    same = topic[:, None] == topic[None, :]
    assert together[same].sum() > 0
    assert together[~same].sum() == 0
    assert np.diag(together).sum() == 0
    assert together.max() <= 1.0


def test_links_are_learnt_where_they_weigh_something() -> None:
    plain = load_ranking_config()
    assert not plain.weighs_any(LINK_TERMS), "the packaged weights leave their cost out"
    weights = np.zeros(len(TERMS))
    weights[TERMS.index("words")] = -0.5
    assert replace(plain, weights=tuple(weights)).weighs_any(LINK_TERMS)
    assert learn_behaviour(EVENTS, KINDS, NOW, links=True).linked.asset_ids
    assert not learn_behaviour(EVENTS, KINDS, NOW, links=False).linked.asset_ids


def test_assets_the_catalogue_lacks_and_signals_without_asset_are_no_trouble() -> None:
    view = KINDS.index("view")
    table = event_table([1, 1, 2], ["gone", None, "a3"], [NOW - 1] * 3, [view] * 3)
    aligned = learn_behaviour(table, KINDS, NOW).aligned(FIRM)
    assert aligned.buyers.sum() == 1
    assert aligned.buyers[3] == 1
    grown = learn_behaviour(table, KINDS, NOW).with_events(
        event_table([7], ["a5"], [NOW + 1], [view]), NOW + 2
    )
    assert grown.aligned(FIRM).buyers[5] == 1


def test_bots_and_mere_impressions_are_not_popularity() -> None:
    table = event_table([1, 2], ["a1", "a1"], [NOW, NOW], [KINDS.index("impression"), KINDS.index("view")])
    table.weight[1] = 0.0
    learnt = learn_behaviour(table, KINDS, NOW)
    assert learnt.buyers.sum() == 0
    assert learnt.impressions.sum() == 1
    assert empty_behaviour().is_empty
